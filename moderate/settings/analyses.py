"""Where analyses run, and the flow that computes matrix profiles."""

import json
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, field_validator

from moderate.settings.fields import (
    CommaList,
    Group,
    Name,
    Seconds,
)


def _pinned_tag(value: str) -> str:
    if value == "latest":
        msg = "a version or commit is expected, never `latest`"
        raise ValueError(msg)
    return value


class LauncherName(StrEnum):
    """Where analyses run."""

    KUBERNETES = "kubernetes"
    PROCESS = "process"


class AnalysisSettings(Group):
    """Where analyses run, and how they do on a Kubernetes cluster."""

    title: ClassVar[str] = "Analyses"

    cluster: str = Field(
        "",
        alias="KUBERNETES_SERVICE_HOST",
        description="set by Kubernetes in every pod, not by you",
    )
    chosen: LauncherName | None = Field(
        None,
        alias="ANALYSIS_LAUNCHER",
        description="`kubernetes`: as Jobs of a cluster; `process`: on the "
        "worker's own machine; by default `kubernetes` inside a cluster and "
        "`process` elsewhere",
    )
    kube_context: str = Field(
        "",
        alias="ANALYSIS_KUBE_CONTEXT",
        description="context of the kubeconfig; by default the cluster that "
        "the worker is in, else the current context",
    )
    namespace: str = Field(
        "",
        alias="ANALYSIS_NAMESPACE",
        pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$",
        max_length=63,
        description="namespace of the Jobs; by default the worker's own",
    )
    s3_login_from: str = Field(
        "",
        alias="ANALYSIS_S3_LOGIN_FROM",
        max_length=253,
        description="Secret that holds S3_ACCESS_KEY_ID and "
        "S3_SECRET_ACCESS_KEY for the Jobs; by default they are put into a "
        "Secret of each Job",
    )
    service_account: str = Field(
        "",
        alias="ANALYSIS_SERVICE_ACCOUNT",
        max_length=253,
        description="service account of the Jobs, which needs no rights; by "
        "default the namespace's",
    )
    registry_login_from: CommaList = Field(
        (),
        alias="ANALYSIS_REGISTRY_LOGIN_FROM",
        description="Secrets with the image registry's login, comma "
        "separated; those of the run launcher are used too",
    )
    k8s_config: str = Field(
        "",
        alias="ANALYSIS_K8S_CONFIG",
        description="JSON of what Dagster calls `dagster-k8s/config`: node "
        "selectors, tolerations, labels and the like of the Jobs",
    )
    cpu_request: str = Field(
        "1",
        alias="ANALYSIS_CPU_REQUEST",
        pattern=r"^([0-9]+|[0-9]*\.[0-9]+|[0-9]+m)$",
        description="processors that the cluster keeps for one Job, such as "
        "`2` or `500m`",
    )
    scratch_mib: int = Field(
        2048,
        alias="ANALYSIS_SCRATCH_MIB",
        ge=1,
        description="MiB of disk for the temporary files of one Job",
    )
    pending_timeout: Seconds = Field(
        timedelta(minutes=10),
        alias="ANALYSIS_PENDING_TIMEOUT_SECONDS",
        ge=timedelta(seconds=1),
        le=timedelta(days=1),
        description="seconds that a Job may find no room before it is tried "
        "again later",
    )
    start_patience: Seconds = Field(
        timedelta(seconds=30),
        alias="ANALYSIS_START_PATIENCE_SECONDS",
        ge=timedelta(seconds=0),
        le=timedelta(hours=1),
        description="seconds that a fault of set-up (a missing Secret or "
        "service account, an image that can't be pulled) may last",
    )
    job_ttl: Seconds = Field(
        timedelta(minutes=10),
        alias="ANALYSIS_JOB_TTL_SECONDS",
        ge=timedelta(seconds=0),
        le=timedelta(days=7),
        description="seconds that a Job stays to be looked at, once its log "
        "and outcome are stored",
    )

    @field_validator("k8s_config")
    @classmethod
    def _is_json_object(cls, value: str) -> str:
        try:
            is_object = isinstance(json.loads(value or "{}"), dict)
        except ValueError:
            is_object = False
        if not is_object:
            msg = "a JSON object is expected"
            raise ValueError(msg)
        return value

    @property
    def launcher(self) -> LauncherName:
        """Where analyses run."""
        if self.chosen:
            return self.chosen
        inside = LauncherName.KUBERNETES
        return inside if self.cluster else LauncherName.PROCESS


class MatrixProfileSettings(Group):
    """The matrix profile flow."""

    title: ClassVar[str] = "Matrix profile"

    queue: Name = Field(
        "matrix_profile",
        alias="MATRIX_PROFILE_QUEUE",
        description="queue of job messages",
    )
    dead_letter_queue: Name = Field(
        "matrix_profile.dead-letter",
        alias="MATRIX_PROFILE_DEAD_LETTER_QUEUE",
        description="our own queue of messages that can't be understood",
    )
    image: Name = Field(
        "localhost/moderate/matrix-profile",
        alias="MATRIX_PROFILE_JOB_IMAGE",
        description="container image of the analysis, without tag; the "
        "default is on the nodes themselves and in no registry",
    )
    tag: Annotated[Name, AfterValidator(_pinned_tag)] = Field(
        "0.1.0",
        alias="MATRIX_PROFILE_JOB_TAG",
        description="the image's tag; never `latest`",
    )
    allowed_images: CommaList = Field(
        (),
        alias="MATRIX_PROFILE_ALLOWED_IMAGES",
        description="`image:tag` patterns (fnmatch, comma separated) that a "
        "message may ask for; none by default",
    )
    work_dir: str = Field(
        "",
        alias="ANALYSIS_WORK_DIR",
        description="folder of analyses that run as processes; by default "
        "`.local/state/moderate/analyses` in the user's home",
    )
    timeout: Seconds = Field(
        timedelta(minutes=30),
        alias="MATRIX_PROFILE_TIMEOUT_SECONDS",
        ge=timedelta(seconds=1),
        le=timedelta(days=7),
        description="seconds that one analysis may take; on a cluster the "
        "pull of its image is part of that",
    )
    memory_mib: int = Field(
        4096,
        alias="MATRIX_PROFILE_MEMORY_MIB",
        ge=256,
        description="MiB of memory that one analysis may use",
    )
    max_concurrent: int = Field(
        2,
        alias="MATRIX_PROFILE_MAX_CONCURRENT",
        ge=1,
        le=1000,
        description="analyses that run at once",
    )
    max_failures: int = Field(
        4,
        alias="MATRIX_PROFILE_MAX_FAILURES",
        ge=1,
        description="failed attempts after which a message is dead",
    )
    backoff_base: Seconds = Field(
        timedelta(seconds=10),
        alias="MATRIX_PROFILE_BACKOFF_SECONDS",
        ge=timedelta(seconds=0.1),
        description="seconds before the second attempt; doubles each time",
    )
    window: str = Field(
        "",
        alias="MATRIX_PROFILE_WINDOW",
        description="length of the patterns looked for, such as `24h` or a "
        "number of values; a day by default",
    )
    messages_per_tick: int = Field(
        10_000,
        alias="MATRIX_PROFILE_MESSAGES_PER_TICK",
        ge=1,
        description="messages that one tick takes at the most",
    )
    prefetch: int = Field(
        500,
        alias="MATRIX_PROFILE_PREFETCH",
        ge=1,
        le=10_000,
        description="unacknowledged messages held at once",
    )
    reconcile_interval: Seconds = Field(
        timedelta(minutes=10),
        alias="MATRIX_PROFILE_RECONCILE_SECONDS",
        ge=timedelta(seconds=1),
        description="seconds between looks for jobs whose message was lost",
    )
    reconcile_grace: Seconds = Field(
        timedelta(minutes=5),
        alias="MATRIX_PROFILE_RECONCILE_GRACE_SECONDS",
        ge=timedelta(seconds=0),
        description="age in seconds from which an open job without an item "
        "counts as lost",
    )
