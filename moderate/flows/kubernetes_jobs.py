"""What ``dagster_k8s`` is configured with, as a Job to build upon.

An analysis' pod takes what fits it from the run launcher: image pull secrets
and policy, scheduler and labels. It does not take the worker's environment,
volumes and service account, which hold every peer's password and the right to
make Jobs. The op's tag ``dagster-k8s/config`` is taken as it is; pod security
is put over it (see ``analyses.kubernetes_spec``).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from dagster import OpExecutionContext

from moderate.settings import AnalysisSettings, LauncherName, Settings

if TYPE_CHECKING:
    from dagster_k8s.job import UserDefinedDagsterK8sConfig

CONFIG_TAG = "dagster-k8s/config"

Config = dict[str, Any]


def op_tags(settings: Settings) -> dict[str, str]:
    """Return the tags of an op that runs an analysis."""
    config = settings.analyses.k8s_config
    return {CONFIG_TAG: config} if config else {}


def configured_job(
    context: OpExecutionContext, settings: Settings
) -> Mapping[str, Any]:
    """Return a Job, as the API has it, with what is configured of it."""
    if settings.analyses.launcher is not LauncherName.KUBERNETES:
        return {}
    from dagster_k8s.container_context import K8sContainerContext
    from dagster_k8s.job import get_user_defined_k8s_config

    launcher = K8sContainerContext(run_k8s_config=_of_run_launcher(context))
    own = K8sContainerContext(run_k8s_config=_of_settings(settings.analyses))
    tagged = get_user_defined_k8s_config(context.op.tags)
    op = K8sContainerContext(run_k8s_config=tagged)
    return _rendered(launcher.merge(own).merge(op).run_k8s_config)


@runtime_checkable
class _HasOther(Protocol):
    """A run launcher that gives some runs to another, as the fast path's."""

    @property
    def other(self) -> object:
        """What launches those."""


def _of_run_launcher(
    context: OpExecutionContext,
) -> "UserDefinedDagsterK8sConfig":
    from dagster_k8s import K8sRunLauncher
    from dagster_k8s.container_context import K8sContainerContext
    from dagster_k8s.job import UserDefinedDagsterK8sConfig

    run_launcher: object = context.instance.run_launcher
    while isinstance(run_launcher, _HasOther):
        run_launcher = run_launcher.other
    if not isinstance(run_launcher, K8sRunLauncher):
        return UserDefinedDagsterK8sConfig()
    given = K8sContainerContext.create_for_run(
        context.dagster_run, run_launcher, include_run_tags=False
    ).run_k8s_config
    labels = given.pod_template_spec_metadata.get("labels") or {}
    return UserDefinedDagsterK8sConfig(
        container_config=_some(given.container_config, "image_pull_policy"),
        pod_spec_config=_some(
            given.pod_spec_config, "image_pull_secrets", "scheduler_name"
        ),
        pod_template_spec_metadata={"labels": labels},
        job_metadata={"labels": labels},
    )


def _of_settings(
    settings: AnalysisSettings,
) -> "UserDefinedDagsterK8sConfig":
    from dagster_k8s.job import UserDefinedDagsterK8sConfig

    pod: Config = {}
    if settings.service_account:
        pod["service_account_name"] = settings.service_account
    if settings.registry_login_from:
        names = settings.registry_login_from
        pod["image_pull_secrets"] = [{"name": name} for name in names]
    return UserDefinedDagsterK8sConfig(pod_spec_config=pod)


def _some(config: Mapping[str, Any], *names: str) -> Config:
    return {name: config[name] for name in names if config.get(name)}


def _rendered(config: "UserDefinedDagsterK8sConfig") -> Config:
    """Have ``dagster_k8s`` make a Job of it, and write it as JSON."""
    from dagster_k8s.job import DagsterK8sJobConfig, construct_dagster_k8s_job
    from kubernetes.client import ApiClient

    made = construct_dagster_k8s_job(
        DagsterK8sJobConfig(),
        args=None,
        job_name="analysis",
        user_defined_k8s_config=config,
    )
    plain: Config = ApiClient().sanitize_for_serialization(made)
    return plain
