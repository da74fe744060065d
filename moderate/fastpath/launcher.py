"""Run launchers: what Dagster calls to have a run begun, and ended.

In ``dagster.yaml`` (``other`` may be left out: Dagster's default then)::

    run_launcher:
      module: moderate.fastpath.launcher
      class: ByTagRunLauncher
      config:
        other:
          module: dagster_k8s
          class: K8sRunLauncher
          config: {...}

Where the inbox is, the environment says (``POSTGRES_*``, ``INBOX_DATABASE``):
what is in the configuration of an instance, Dagster passes on to its runs.

Touches what Dagster keeps to itself, as a launcher has to: the base class,
its contexts, the ways to be configured, and the schema of a class in a class.
"""

import os
from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from typing import Any, Self

import yaml
from dagster import DagsterInstance, DagsterRun, Field
from dagster._config.config_schema import UserConfigSchema
from dagster._core.instance.config import configurable_class_schema
from dagster._core.launcher import (
    CheckRunHealthResult,
    LaunchRunContext,
    ResumeRunContext,
    RunLauncher,
    WorkerStatus,
)
from dagster._serdes import ConfigurableClass, ConfigurableClassData

from moderate.connections import inbox_address
from moderate.fastpath import tags
from moderate.inbox.migrate import require_current_schema
from moderate.inbox.warm_runs import WarmRuns
from moderate.settings import PostgresSettings, load_settings

PATIENCE = timedelta(seconds=30)
"""Silence of a worker after which Dagster's run monitoring hears that it is
gone. Others have found that out and said so long before."""

DEFAULT_LAUNCHER = {
    "module": "dagster._core.launcher.default_run_launcher",
    "class": "DefaultRunLauncher",
    "config": {},
}
_AT_WORK = "claimed"
_WAITS = "waiting"


class WarmRunLauncher(RunLauncher[DagsterInstance], ConfigurableClass):
    """Offers runs to workers that have the code loaded."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._inst_data = inst_data

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """What it was made of."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """Nothing: the environment says where the inbox is."""
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Any
    ) -> Self:
        """Build the launcher from ``dagster.yaml``."""
        del config_value
        return cls(inst_data)

    @cached_property
    def _runs(self) -> WarmRuns:
        # Nothing else is read: webserver and daemon are given no more.
        own = {
            name: os.environ[name]
            for name in PostgresSettings.variables()
            if name in os.environ
        }
        where = inbox_address(load_settings(own))
        require_current_schema(where)
        return WarmRuns(where)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Offer a run; one that was offered before is left as it is."""
        run = context.dagster_run
        origin = context.job_code_origin
        self._runs.offer(
            run.run_id,
            image=origin.repository_origin.container_image if origin else None,
            priority=tags.priority(run.tags),
        )

    def terminate(self, run_id: str) -> bool:
        """Cancel a run: one that waits at once, another by its worker.

        Returns:
            Whether there was anything to cancel.
        """
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        if self._runs.cancel(run_id) != _AT_WORK:
            # Nothing of it runs, so nobody else will say so.
            self._instance.report_run_canceled(run)
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Run monitoring may ask; it does as the last of many."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Say whether a run's process lives."""
        found = self._runs.look(run.run_id)
        if found is None:
            return CheckRunHealthResult(
                WorkerStatus.NOT_FOUND, "it was never given to a worker"
            )
        if found.state == _WAITS:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        if found.state != _AT_WORK:
            return CheckRunHealthResult(
                WorkerStatus.FAILED, "its process is gone"
            )
        if found.silence is None or found.silence > PATIENCE:
            return CheckRunHealthResult(
                WorkerStatus.FAILED, "its worker is gone"
            )
        return CheckRunHealthResult(WorkerStatus.RUNNING)


class ByTagRunLauncher(RunLauncher[DagsterInstance], ConfigurableClass):
    """Offers some runs to warm workers, and gives the rest to another.

    See ``tags.is_warm`` for which; it is the same whenever it is asked, so
    each run is ended by what began it.

    Args:
        other: What launches the rest.
        inst_data: What it was made of.
    """

    def __init__(
        self,
        other: RunLauncher[DagsterInstance],
        inst_data: ConfigurableClassData | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._inst_data = inst_data
        self._warm = WarmRunLauncher()
        self._other = other

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """What it was made of."""
        return self._inst_data

    @property
    def other(self) -> RunLauncher[DagsterInstance]:
        """What launches the rest: analyses take after its configuration."""
        return self._other

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """What launches the rest."""
        return {"other": Field(configurable_class_schema(), is_required=False)}

    @classmethod
    def from_config_value(
        cls,
        inst_data: ConfigurableClassData | None,
        config_value: Mapping[str, Any],
    ) -> Self:
        """Build the launchers from ``dagster.yaml``."""
        other = config_value.get("other", DEFAULT_LAUNCHER)
        data = ConfigurableClassData(
            other["module"], other["class"], yaml.safe_dump(other["config"])
        )
        launcher: RunLauncher[DagsterInstance] = data.rehydrate(
            as_type=RunLauncher  # type: ignore[type-abstract]
        )
        return cls(launcher, inst_data)

    def register_instance(self, instance: DagsterInstance) -> None:
        """Both need to know Dagster."""
        super().register_instance(instance)
        self._warm.register_instance(instance)
        self._other.register_instance(instance)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Launch a run."""
        self._of(context.dagster_run).launch_run(context)

    def terminate(self, run_id: str) -> bool:
        """Cancel a run."""
        run = self._instance.get_run_by_id(run_id)
        return self._of(run).terminate(run_id) if run else False

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Asked without a run: what the other can't say is unknown."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Say whether a run's process lives, as far as its launcher knows."""
        launcher = self._of(run)
        if launcher.supports_check_run_worker_health:
            return launcher.check_run_worker_health(run)
        # As without the question: not known is no reason to end a run.
        return CheckRunHealthResult(WorkerStatus.RUNNING)

    def get_run_worker_debug_info(
        self,
        run: DagsterRun,
        include_container_logs: bool | None = True,  # noqa: FBT001, FBT002
    ) -> str | None:
        """Say what the run's launcher knows."""
        return self._of(run).get_run_worker_debug_info(
            run, include_container_logs
        )

    @property
    def supports_resume_run(self) -> bool:
        """The inbox alone decides on another try."""
        return False

    def resume_run(self, context: ResumeRunContext) -> None:
        """Resume a run of the other launcher."""
        self._of(context.dagster_run).resume_run(context)

    def dispose(self) -> None:
        """Release what the other holds."""
        self._other.dispose()

    def join(self, timeout: int = 30) -> None:
        """Wait for the other's runs."""
        self._other.join(timeout)

    def _of(self, run: DagsterRun) -> RunLauncher[DagsterInstance]:
        return self._warm if tags.is_warm(run.tags) else self._other
