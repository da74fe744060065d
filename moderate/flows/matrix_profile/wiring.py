"""From settings to the parts of this flow."""

from functools import cache
from pathlib import Path
from urllib.parse import quote

from pydantic import SecretStr

from moderate.analyses.launcher import Launcher
from moderate.analyses.process import ProcessLauncher
from moderate.flows.matrix_profile.analysis import Analysis, Plan
from moderate.flows.matrix_profile.intake import Source
from moderate.flows.matrix_profile.kinds import kinds
from moderate.flows.matrix_profile.messages import ImageRule
from moderate.inbox.model import Kind
from moderate.resources import S3Resource, given, redactor
from moderate.settings import (
    MatrixProfileSettings,
    PostgresSettings,
    S3Settings,
    Settings,
)

FLOW = "matrix_profile"
MIB = 1024 * 1024
DEFAULT_WORK_DIR = ".local/state/moderate/analyses"
"""Below the user's home; survives a restart of the machine, as /tmp may
not."""


def kinds_of(settings: Settings) -> tuple[Kind, ...]:
    """Return the flow's kinds as these settings bound them."""
    flow = settings.matrix_profile
    return kinds(
        max_concurrent=flow.max_concurrent,
        max_failures=flow.max_failures,
        backoff_base=flow.backoff_base,
    )


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


def analysis_of(settings: Settings, s3: S3Resource) -> Analysis:
    """Return what performs analyses.

    Raises:
        SettingsError: The settings of S3 are absent.
    """
    flow = settings.matrix_profile
    return Analysis(
        launcher=launcher_of(settings),
        storage=s3.client(),
        redactor=redactor(),
        plan=Plan(
            rule=image_rule(flow),
            outputs_bucket=given(settings.s3, S3Settings).outputs_bucket,
            env=_plain_environment(settings),
            secrets=_secret_environment(settings),
            timeout=flow.timeout,
            memory_bytes=flow.memory_mib * MIB,
        ),
    )


def launcher_of(settings: Settings) -> Launcher:
    """Return where analyses run.

    Attempts are named by the inbox's numbers, so each inbox has a folder of
    its own; a folder that is given is for one service alone.
    """
    given_folder = settings.matrix_profile.work_dir
    if given_folder:
        return _process_launcher(Path(given_folder))
    where = given(settings.postgres, PostgresSettings)
    name = quote(f"{where.host}:{where.port}:{where.inbox_database}", safe="")
    return _process_launcher(Path.home() / DEFAULT_WORK_DIR / name)


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
