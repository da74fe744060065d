"""Runs are created and handed to the launcher, without a sensor or a queue.

Touches what Dagster keeps to itself, as only its own daemon and webserver
create runs, and there is no public way that leaves the run's id to us:

- ``WorkspaceProcessContext`` and the targets: the code location as the
  daemon sees it, reloaded when the code server is;
- ``SENSOR_NAME_TAG``, ``RUN_KEY_TAG``: by which the daemon knows a run that
  was asked for;
- ``JobSubsetSelector``, ``get_job``, ``get_execution_plan``, ``create_run``:
  what the daemon does with a sensor's run request, step by step.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias
from uuid import UUID, uuid5

from dagster import (
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    RunRequest,
    RunsFilter,
    SensorDefinition,
)
from dagster._core.definitions.selector import JobSubsetSelector
from dagster._core.launcher import LaunchRunContext
from dagster._core.remote_representation.code_location import CodeLocation
from dagster._core.remote_representation.external import (
    RemoteExecutionPlan,
    RemoteJob,
)
from dagster._core.storage.tags import RUN_KEY_TAG, SENSOR_NAME_TAG
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import (
    GrpcServerTarget,
    WorkspaceFileTarget,
    WorkspaceLoadTarget,
)

from moderate.errors import TemporaryError
from moderate.flows.ticks import RunRequestOf
from moderate.inbox.model import Dispatch

Target: TypeAlias = WorkspaceLoadTarget
"""Where a code location is."""

NAMESPACE = UUID("5d1f6c0e-7f0b-5c53-9d0e-6d6f64657261")
"""Of the ids of our runs; never changed, or a run could be created twice."""


class CodeLocationUnavailableError(TemporaryError):
    """The code server can't be reached, or has not loaded the code."""


def run_id_of(run_key: str) -> str:
    """Return the id of the run of a batch.

    The key is made of kind, item and dispatch number, so that whoever
    submits a batch's run a second time meets the run that is there.
    """
    return str(uuid5(NAMESPACE, run_key))


def on_behalf_of(
    sensor: SensorDefinition, makers: Mapping[str, RunRequestOf]
) -> Mapping[str, RunRequestOf]:
    """Return what makes the run requests that a sensor would make.

    Their runs bear the sensor's name, as those do that it asks for itself:
    the daemon finds them by their run key and asks for none of them again,
    also not for one that a person has cancelled.
    """

    def named(maker: RunRequestOf) -> RunRequestOf:
        def make(dispatch: Dispatch) -> RunRequest:
            request = maker(dispatch)
            tags = {**request.tags, SENSOR_NAME_TAG: sensor.name}
            return request.with_replaced_attrs(tags=tags)

        return make

    return {kind: named(makers[kind]) for kind in makers}


class Submitter:
    """Creates and launches runs of one code location.

    Args:
        instance: Dagster.
        workspace: The code location.
    """

    def __init__(
        self, instance: DagsterInstance, workspace: WorkspaceProcessContext
    ) -> None:
        self._instance = instance
        self._workspace = workspace
        self._jobs: dict[str, tuple[RemoteJob, RemoteExecutionPlan]] = {}
        self._location: CodeLocation | None = None

    def submit(self, request: RunRequest) -> str | None:
        """Create and launch the run of a request; return its id.

        Twice is harmless: a run that was launched is left alone, and one
        whose launch was cut off is launched. ``None``: it was launched
        before, or a sensor has asked for it.

        Raises:
            CodeLocationUnavailableError: The code server isn't there.
        """
        run_id = run_id_of(str(request.run_key))
        run = self._instance.get_run_by_id(run_id)
        if run is None:
            if self._is_asked_for(request):
                return None
            run = self._create(run_id, request)
        if run.status is DagsterRunStatus.NOT_STARTED:
            context = self._workspace.create_request_context()
            self._instance.launch_run(run_id, context)
            return run_id
        if run.status is DagsterRunStatus.STARTING:
            # Whoever launched it may have been killed before the offer.
            self._offer(run)
        return None

    def _is_asked_for(self, request: RunRequest) -> bool:
        """Say whether a sensor was sooner: its run is as good.

        Only a look, as Dagster's own: two that look at once both create a
        run, and the fence decides.
        """
        wanted = RunsFilter(tags={RUN_KEY_TAG: str(request.run_key)})
        return bool(self._instance.get_run_ids(wanted))

    def _offer(self, run: DagsterRun) -> None:
        context = LaunchRunContext(
            run, self._workspace.create_request_context()
        )
        self._instance.run_launcher.launch_run(context)

    def _create(self, run_id: str, request: RunRequest) -> DagsterRun:
        location = self._current_location()
        job, plan = self._job(location, request)
        repository = location.get_repository(
            job.repository_handle.repository_name
        )
        return self._instance.create_run(
            job_name=job.name,
            run_id=run_id,
            run_config=request.run_config,
            status=DagsterRunStatus.NOT_STARTED,
            tags={
                **(job.run_tags or {}),
                **request.tags,
                RUN_KEY_TAG: str(request.run_key),
            },
            root_run_id=None,
            parent_run_id=None,
            step_keys_to_execute=None,
            execution_plan_snapshot=plan.execution_plan_snapshot,
            job_snapshot=job.job_snapshot,
            parent_job_snapshot=job.parent_job_snapshot,
            asset_selection=None,
            asset_check_selection=None,
            resolved_op_selection=None,
            op_selection=None,
            remote_job_origin=job.get_remote_origin(),
            job_code_origin=job.get_python_origin(),
            asset_graph=repository.asset_graph,
        )

    def _current_location(self) -> CodeLocation:
        context = self._workspace.create_request_context()
        for entry in context.get_code_location_entries().values():
            location = entry.code_location
            if location is None:
                continue
            if location is not self._location:
                self._location = location
                self._jobs.clear()
            return location
        self._workspace.refresh_workspace()
        msg = "the code server has not loaded the code"
        raise CodeLocationUnavailableError(msg)

    def _job(
        self, location: CodeLocation, request: RunRequest
    ) -> tuple[RemoteJob, RemoteExecutionPlan]:
        """Return a job and its plan; asked of the code server once.

        The plan is the same for every batch: only a number in the
        configuration differs.
        """
        name = str(request.job_name)
        if name not in self._jobs:
            (repository,) = location.get_repositories()
            job = location.get_job(
                JobSubsetSelector(
                    location_name=location.name,
                    repository_name=repository,
                    job_name=name,
                    op_selection=None,
                )
            )
            plan = location.get_execution_plan(
                job,
                request.run_config,
                step_keys_to_execute=None,
                known_state=None,
                instance=self._instance,
            )
            self._jobs[name] = (job, plan)
        return self._jobs[name]


@contextmanager
def submitter(
    instance: DagsterInstance, target: Target
) -> Iterator[Submitter]:
    """Open the code location for the length of a block."""
    with WorkspaceProcessContext(instance, target) as workspace:
        yield Submitter(instance, workspace)


def code_server(host: str, port: int) -> Target:
    """Say where the code server listens."""
    return GrpcServerTarget(
        host=host, port=port, socket=None, location_name=None
    )


def workspace_file(path: Path) -> Target:
    """Say which file names the code server, as for Dagster's daemon."""
    return WorkspaceFileTarget(paths=[str(path)])
