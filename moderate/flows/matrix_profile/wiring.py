"""From settings to the parts of this flow."""

from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import SecretStr

from moderate.analyses.kubernetes import KubernetesLauncher
from moderate.analyses.kubernetes_api import Cluster, connect
from moderate.analyses.kubernetes_spec import KeyOf, Options, label_value
from moderate.analyses.launcher import Launcher
from moderate.analyses.process import ProcessLauncher
from moderate.flows.matrix_profile import analysis
from moderate.flows.matrix_profile.analysis import LOG_BYTES, Analysis, Plan
from moderate.flows.matrix_profile.compute_log import ComputeLog
from moderate.flows.matrix_profile.intake import Source
from moderate.flows.matrix_profile.messages import ImageRule
from moderate.resources import S3Resource, given, redactor
from moderate.settings import (
    LauncherName,
    MatrixProfileSettings,
    PostgresSettings,
    S3Settings,
    Settings,
)

MIB = 1024 * 1024
SERVICE_CHARS = 50
DEFAULT_WORK_DIR = ".local/state/moderate/analyses"
"""Below the user's home; survives a restart of the machine, as /tmp may
not."""


def image_rule(flow: MatrixProfileSettings) -> ImageRule:
    """Return which images may run."""
    return ImageRule(flow.image, flow.tag, flow.allowed_images)


def source_of(settings: Settings) -> Source:
    """Return where messages come from."""
    flow = settings.matrix_profile
    return Source(
        queue=flow.queue,
        dead_letter_queue=flow.dead_letter_queue,
        chunk=flow.prefetch,
        limit=flow.messages_per_tick,
        rule=image_rule(flow),
    )


def analysis_of(
    settings: Settings, s3: S3Resource, *, job: Mapping[str, Any]
) -> Analysis:
    """Return what performs analyses.

    Args:
        settings: The settings.
        s3: Where data and reports are.
        job: A Kubernetes Job, for what is configured of it.

    Raises:
        SettingsError: The settings of S3 are absent.
    """
    flow = settings.matrix_profile
    in_image = settings.analyses.launcher is LauncherName.KUBERNETES
    return Analysis(
        launcher=launcher_of(settings, job=job),
        storage=s3.client(),
        redactor=redactor(),
        plan=Plan(
            rule=image_rule(flow),
            outputs_bucket=given(settings.s3, S3Settings).outputs_bucket,
            env=_plain_environment(settings),
            secrets=_secret_environment(settings),
            timeout=flow.timeout,
            patience=settings.analyses.pending_timeout
            + settings.analyses.start_patience,
            memory_bytes=flow.memory_mib * MIB,
            command=analysis.IMAGE_COMMAND if in_image else analysis.COMMAND,
        ),
    )


def launcher_of(
    settings: Settings, *, job: Mapping[str, Any] | None = None
) -> Launcher:
    """Return where analyses run.

    Attempts are named by the inbox's numbers, so each inbox has a folder or
    a label of its own; a folder that is given is for one service alone.
    """
    if settings.analyses.launcher is LauncherName.KUBERNETES:
        return _kubernetes_launcher(settings, job or {})
    given_folder = settings.matrix_profile.work_dir
    if given_folder:
        return _process_launcher(Path(given_folder))
    where = given(settings.postgres, PostgresSettings)
    name = quote(f"{where.host}:{where.port}:{where.inbox_database}", safe="")
    return _process_launcher(Path.home() / DEFAULT_WORK_DIR / name)


def _kubernetes_launcher(
    settings: Settings, job: Mapping[str, Any]
) -> Launcher:
    given_ones = settings.analyses
    secret = given_ones.s3_login_from
    lasting = _secret_environment(settings) if secret else {}
    options = Options(
        service=service_label(settings),
        lasting={name: KeyOf(secret, name) for name in lasting},
        cpu_request=given_ones.cpu_request,
        scratch_mib=given_ones.scratch_mib,
        pending_timeout=given_ones.pending_timeout,
        start_patience=given_ones.start_patience,
        ttl=given_ones.job_ttl,
        base=job,
    )
    return KubernetesLauncher(
        _cluster(given_ones.namespace, given_ones.kube_context),
        options,
        sink=ComputeLog(redactor(), LOG_BYTES),
    )


@cache
def _cluster(namespace: str, context: str) -> Cluster:
    return connect(namespace, context)


def service_label(settings: Settings) -> str:
    """Return what tells this service's Jobs from another's: its inbox."""
    where = given(settings.postgres, PostgresSettings)
    place = f"{where.host}:{where.port}:{where.inbox_database}"
    name = label_value(where.inbox_database[:SERVICE_CHARS])
    return f"{name}-{sha256(place.encode()).hexdigest()[:8]}".strip("-")


@cache
def _process_launcher(root: Path) -> Launcher:
    return ProcessLauncher(root)


def _plain_environment(settings: Settings) -> dict[str, str]:
    s3 = given(settings.s3, S3Settings)
    window = settings.matrix_profile.window
    return {
        "S3_ENDPOINT_URL": str(s3.endpoint_url),
        "S3_REGION": s3.region,
        # Output and error share a log, whose last line the user reads.
        "PYTHONUNBUFFERED": "1",
        **({"MATRIX_PROFILE_WINDOW": window} if window else {}),
    }


def _secret_environment(settings: Settings) -> dict[str, SecretStr]:
    s3 = given(settings.s3, S3Settings)
    return {
        "S3_ACCESS_KEY_ID": SecretStr(s3.access_key_id),
        "S3_SECRET_ACCESS_KEY": s3.secret_access_key,
    }
