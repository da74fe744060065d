"""The jobs: find what changed, then two steps for each source that did.

Nothing is handed from op to op: what a step has to do is seen when it does
it, so that it may run in another process, in another pod, or again. Twice is
harmless: what was done is remembered part by part, profiles and objects as it
is done, the metadata of databases as its step ends, and a step that finds
nothing to do does nothing.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pydantic
from dagster import (
    Config,
    DefaultScheduleStatus,
    DynamicOut,
    DynamicOutput,
    ExecutorDefinition,
    Failure,
    In,
    JobDefinition,
    MetadataValue,
    Nothing,
    OpExecutionContext,
    Out,
    Output,
    RunRequest,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SkipReason,
    in_process_executor,
    job,
    op,
)

from moderate.errors import ModerateError
from moderate.flows import tags
from moderate.flows.metadata_ingestion import reports, wiring
from moderate.flows.metadata_ingestion.finding import find
from moderate.flows.metadata_ingestion.ingestion import Ingestion, Report
from moderate.flows.metadata_ingestion.session import Session
from moderate.inbox.metadata_sources import Flow, Source, Step
from moderate.resources import (
    OpenMetadataResource,
    PostgresResource,
    S3Resource,
    redactor,
)
from moderate.settings import MetadataExecutor, process_settings

Looked = Output[None] | DynamicOutput[None]

FOUND = "found"
LOOK = "look"
FIND_OUT = {
    # Has the metadata of the look, also where nothing changed.
    LOOK: Out(Nothing, description="What there is."),
    FOUND: DynamicOut(Nothing, description="Each source that changed."),
}


class FindConfig(Config):
    """What a person may ask of a look."""

    force: bool = pydantic.Field(
        default=False,
        description="Bring everything over again, also what is unchanged.",
    )
    moved: bool = pydantic.Field(
        default=False,
        description="Take those that were found at another server or in"
        " another bucket for what is here now: they go on, and what of them"
        " is not here is removed from OpenMetadata.",
    )
    only: list[str] = pydantic.Field(
        default=[],
        description="Databases or prefixes to look at; by default all.",
    )


@op(out=FIND_OUT)
def find_postgres_databases(
    context: OpExecutionContext,
    config: FindConfig,
    postgres: PostgresResource,
    open_metadata: OpenMetadataResource,
) -> Iterator[Looked]:
    """Find databases that changed, by their catalogues' fingerprints."""
    with _told_plainly():
        session = _postgres(context, postgres, open_metadata)
        yield from _find(config, session)


@op(ins={FOUND: In(Nothing)}, out=Out(Nothing))
def postgres_metadata_ingestion(
    context: OpExecutionContext,
    postgres: PostgresResource,
    open_metadata: OpenMetadataResource,
) -> Output[None]:
    """Bring what changed of a database over, and remove what is gone."""
    with _told_plainly():
        session = _postgres(context, postgres, open_metadata)
        return _step(context, session, Step.METADATA)


@op(ins={FOUND: In(Nothing)}, out=Out(Nothing))
def postgres_profiler_ingestion(
    context: OpExecutionContext,
    postgres: PostgresResource,
    open_metadata: OpenMetadataResource,
) -> Output[None]:
    """Profile the tables of a database whose rows changed."""
    with _told_plainly():
        session = _postgres(context, postgres, open_metadata)
        return _step(context, session, Step.PROFILE)


@op(out=FIND_OUT)
def find_datalake_prefixes(
    context: OpExecutionContext,
    config: FindConfig,
    postgres: PostgresResource,
    open_metadata: OpenMetadataResource,
    s3_object_storage: S3Resource,
) -> Iterator[Looked]:
    """Find prefixes that changed, by listings of their objects."""
    with _told_plainly():
        session = _lake(context, postgres, open_metadata, s3_object_storage)
        yield from _find(config, session)


@op(ins={FOUND: In(Nothing)}, out=Out(Nothing))
def datalake_metadata_ingestion(
    context: OpExecutionContext,
    postgres: PostgresResource,
    open_metadata: OpenMetadataResource,
    s3_object_storage: S3Resource,
) -> Output[None]:
    """Bring what changed of a prefix over, and remove what is gone."""
    with _told_plainly():
        session = _lake(context, postgres, open_metadata, s3_object_storage)
        return _step(context, session, Step.METADATA)


@op(ins={FOUND: In(Nothing)}, out=Out(Nothing))
def datalake_profiler_ingestion(
    context: OpExecutionContext,
    postgres: PostgresResource,
    open_metadata: OpenMetadataResource,
    s3_object_storage: S3Resource,
) -> Output[None]:
    """Profile the objects of a prefix that changed."""
    with _told_plainly():
        session = _lake(context, postgres, open_metadata, s3_object_storage)
        return _step(context, session, Step.PROFILE)


def executor() -> ExecutorDefinition:
    """Return what runs the steps of a run, as the settings say."""
    settings = process_settings().metadata
    if settings.executor is MetadataExecutor.PODS:
        from dagster_k8s import k8s_job_executor

        # By itself it would begin all pods at once, and leave them behind.
        pods: ExecutorDefinition = k8s_job_executor.configured(
            {
                "max_concurrent": settings.workers,
                "enable_owner_references": True,
            },
            name="k8s",
        )
        return pods
    return in_process_executor


@job(
    executor_def=executor(),
    tags={tags.FLOW: "postgres_ingestion", **tags.NO_RUN_RETRIES},
)
def postgres_ingestion_job() -> None:
    """Bring metadata and profiles of all databases into OpenMetadata."""
    find_postgres_databases().found.map(
        lambda found: postgres_profiler_ingestion(
            postgres_metadata_ingestion(found)
        )
    )


@job(
    executor_def=executor(),
    tags={tags.FLOW: "datalake_ingestion", **tags.NO_RUN_RETRIES},
)
def datalake_ingestion_job() -> None:
    """Bring metadata and profiles of all prefixes into OpenMetadata."""
    find_datalake_prefixes().found.map(
        lambda found: datalake_profiler_ingestion(
            datalake_metadata_ingestion(found)
        )
    )


def _schedule(flow: Flow, of: JobDefinition, cron: str) -> ScheduleDefinition:
    def evaluate(_: ScheduleEvaluationContext) -> RunRequest | SkipReason:
        state = process_settings().flow(f"{flow}_ingestion")
        return RunRequest() if state.is_on else SkipReason(state.why_off())

    return ScheduleDefinition(
        name=f"{of.name}_schedule",
        job=of,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=DefaultScheduleStatus.RUNNING,
        description="Says so where the flow is off.",
        execution_fn=evaluate,
    )


metadata_jobs = [postgres_ingestion_job, datalake_ingestion_job]
metadata_schedules = [
    _schedule(
        Flow.POSTGRES,
        postgres_ingestion_job,
        process_settings().metadata.postgres_schedule,
    ),
    _schedule(
        Flow.DATALAKE,
        datalake_ingestion_job,
        process_settings().metadata.datalake_schedule,
    ),
]


_MAPPED = re.compile(r"\w+\[\w+\]")
"""The key of a mapped step."""

_sessions: dict[str, Session] = {}
"""By run; a process has one run at a time, so it holds one at the most."""


def _session(run_id: str, make: Callable[[], Ingestion]) -> Session:
    if run_id not in _sessions:
        _sessions.clear()
        _sessions[run_id] = Session(make())
    return _sessions[run_id]


def _postgres(
    context: OpExecutionContext,
    postgres: PostgresResource,
    open_metadata: OpenMetadataResource,
) -> Session:
    settings = process_settings()
    wiring.require(settings, Flow.POSTGRES)
    return _session(
        context.run.run_id,
        lambda: wiring.postgres_ingestion(
            settings, postgres.inbox_address(), open_metadata.client()
        ),
    )


def _lake(
    context: OpExecutionContext,
    postgres: PostgresResource,
    open_metadata: OpenMetadataResource,
    s3_object_storage: S3Resource,
) -> Session:
    settings = process_settings()
    wiring.require(settings, Flow.DATALAKE)
    return _session(
        context.run.run_id,
        lambda: wiring.datalake_ingestion(
            settings,
            postgres.inbox_address(),
            open_metadata.client(),
            s3_object_storage.client(),
        ),
    )


def _find(config: FindConfig, session: Session) -> Iterator[Looked]:
    begun = time.monotonic()
    found = find(
        session.ingestion,
        config.only,
        force=config.force,
        moved=config.moved,
    )
    seconds = time.monotonic() - begun
    metadata = reports.of_find(
        found.changed, found.unchanged, found.notes, seconds
    )
    yield Output(None, LOOK, metadata=dict(metadata))
    if process_settings().metadata.executor is MetadataExecutor.PROCESSES:
        session.begin(found.changed)
    for source in found.changed:
        yield DynamicOutput(None, source.key, FOUND)


def _step(
    context: OpExecutionContext, session: Session, step: Step
) -> Output[None]:
    adopted = _adopt(context, session)
    source = _source(context, session.ingestion)
    if source is None:
        # The step before has seen that it is gone, and forgot it.
        return Output(None, metadata={"notes": "it is gone"})
    report = session.report(source, step)
    metadata = dict(reports.of_step(report))
    if step is Step.METADATA and not report.is_success and report.leads_on:
        # Dagster leaves out what comes after a failure.
        profile = session.report(source, Step.PROFILE)
        metadata |= reports.of_profile(profile)
        adopted = [profile, *adopted]
    if adopted:
        metadata["also done"] = reports.of_adopted(adopted)
    if failed := [r for r in (report, *adopted) if not r.is_success]:
        text = "\n".join(reports.failure(each) for each in failed)
        raise _failure(text, metadata)
    return Output(None, metadata=metadata)


def _adopt(context: OpExecutionContext, session: Session) -> list[Report]:
    """Do the work of steps that a run executed again would leave out.

    "Re-execute from failure" takes mapped steps that failed or were at work;
    those that had not begun it skips without a word (Dagster's issues 20925,
    30077, 30248, 30972), and is green. The first of its steps does theirs.
    """
    planned = context.run.step_keys_to_execute or ()
    mapped = sorted(key for key in planned if _MAPPED.fullmatch(key))
    own = f"{context.op.name}[{context.get_mapping_key()}]"
    looks_anew = any("[" not in key for key in planned)
    if not context.run.parent_run_id or looks_anew or own != mapped[0]:
        return []
    changed = find(session.ingestion, _only(context)).changed
    left = [s for s in changed if not any(f"[{s.key}]" in k for k in mapped)]
    session.begin(left)
    found: list[Report] = []
    for source in left:
        for step in Step:
            found.append(session.report(source, step))
            if not found[-1].leads_on:
                break
    return found


def _only(context: OpExecutionContext) -> list[str]:
    config: Any = context.run_config
    ops = config.get("ops", {})
    configs = [ops[name].get("config", {}) for name in ops]
    return [name for config in configs for name in config.get("only", [])]


def _source(
    context: OpExecutionContext, ingestion: Ingestion
) -> Source | None:
    key = context.get_mapping_key()
    known = ingestion.memory.sources(ingestion.flow)
    return next((each for each in known if each.key == key), None)


@contextmanager
def _told_plainly() -> Iterator[None]:
    """Let an error leave without a secret; unknown ones too."""
    try:
        yield
    except ModerateError as error:
        raise _failure(str(error)) from None
    except Failure:
        raise
    except Exception as error:  # noqa: BLE001 - told, redacted
        # Dagster would keep its text, and its causes', as they are.
        raise _failure(redactor().redact_exception(error)) from None


def _failure(
    text: str, metadata: Mapping[str, MetadataValue] | None = None
) -> Failure:
    return Failure(
        redactor().redact(text), metadata=metadata, allow_retries=False
    )
