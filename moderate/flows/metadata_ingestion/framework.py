"""Carries out a task with the official ingestion framework.

Only the workshop's processes come here, each once: classes of the framework
are changed for good where it offers no other way to watch or to bound it.
"""

# ruff: noqa: SLF001 - the framework offers no other way to bound it

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from moderate.flows.metadata_ingestion import postgres, sampling
from moderate.flows.metadata_ingestion.account import Account
from moderate.flows.metadata_ingestion.comments import Comments, entity
from moderate.flows.metadata_ingestion.configs import (
    server_config,
    workflow_config,
)
from moderate.flows.metadata_ingestion.fqns import fqn_of
from moderate.flows.metadata_ingestion.plan import (
    DATABASE,
    PROCEDURE,
    SCHEMA,
    TABLE,
    WHOLE,
    path_of,
)
from moderate.flows.metadata_ingestion.task import (
    LakePlace,
    Outcome,
    PostgresPlace,
    Task,
)
from moderate.inbox.metadata_sources import Part, Step

PAGE = 1000
"""Entities of one answer."""

FIELDS = ("tableProfilerConfig", "columns", "customMetrics")
"""What a profile has to know of its table."""

OUTERMOST_LAST = {TABLE: 0, PROCEDURE: 1, SCHEMA: 2, DATABASE: 3}

MOST_NAMED = 20
"""Entities that a note names."""


def carry_out(task: Task, tell: Callable[[Part], None]) -> Outcome:
    """Do what the task says; what fails is in the outcome.

    Tried again it does the same again: all requests put what is to be there.

    Args:
        task: What to do.
        tell: Told of what the server has for good, as it gets there.
    """
    account = Account(task)
    _watch(task, account, tell)
    if isinstance(task.place, PostgresPlace):
        postgres.take_names_for_names(_schemas(task))
    with account.listening():
        try:
            if task.gone or task.vanished:
                _remove_gone(task, account)
            if task.changed and not task.vanished:
                _WORKFLOWS[task.step](task, account)
        except Exception as error:  # noqa: BLE001 - told, whatever it is
            account.broke(f"{type(error).__name__}: {error}")
    return account.outcome()


def _bring_metadata(task: Task, account: Account) -> None:
    from metadata.workflow.metadata import MetadataWorkflow

    sampling.bound_chunks()
    comments = Comments(task.comments, account)
    _listen(comments)
    if isinstance(task.place, LakePlace):
        _list_only(frozenset(p.name for p in task.changed if p.kind == TABLE))
    workflow = MetadataWorkflow(workflow_config(task))
    _execute(workflow, account)
    # The workflow has closed its own client.
    comments.carry_over(partial(_client, task))
    if task.others is not None:
        _remove_unknown(task, account)


def _bring_profiles(task: Task, account: Account) -> None:
    from metadata.workflow.profiler import ProfilerWorkflow

    sampling.bound_chunks()
    sampling.bound_samples(task.limits.sample_rows)
    _profile_only(list(account.expected))
    _count_small_tables(task.limits.sample_rows)
    workflow = ProfilerWorkflow(workflow_config(task))
    _attribute(workflow.steps[0], account)
    if task.sample_data:
        _with_rows(workflow)
    _execute(workflow, account)


_WORKFLOWS: Mapping[Step, Callable[[Task, Account], None]] = {
    Step.METADATA: _bring_metadata,
    Step.PROFILE: _bring_profiles,
}


def _execute(workflow: Any, account: Account) -> None:
    # What it prints is for a terminal, and shows whole stacks.
    workflow.print_status = lambda: None
    workflow.execute()
    for step in workflow.workflow_steps():
        account.said(step.get_status().failures)


def _remove_gone(task: Task, account: Account) -> None:
    client = _client(task)
    if task.vanished:
        _remove(client, task, WHOLE)
        for part in task.gone:
            account.removed(part)
        return
    for part in sorted(task.gone, key=lambda p: OUTERMOST_LAST[p.kind]):
        _remove(client, task, part)
        account.removed(part)


def _remove(client: Any, task: Task, part: Part) -> None:
    """Delete softly, as the framework does: a person can take it back."""
    try:
        fqn = fqn_of(task, part)
    except ValueError:  # Without a name it never was there.
        return
    kind = entity(part.kind)
    found = client.get_by_name(entity=kind, fqn=fqn)
    if found is not None:
        client.delete(entity=kind, entity_id=found.id, recursive=True)


def _remove_unknown(task: Task, account: Account) -> None:
    """Remove what was there before anything was remembered, and say so."""
    client = _client(task)
    others = (fqn_of(task, part) for part in task.others or ())
    expected = {*account.expected, *others}
    found = (*_tables(client, task), *_procedures(client, task))
    unknown = [each for each in found if each.fqn not in expected]
    for each in unknown:
        client.delete(
            entity=entity(each.kind), entity_id=each.id, recursive=True
        )
    if unknown:
        account.noted(_of_unknown([each.fqn for each in unknown]))


def _of_unknown(fqns: list[str]) -> str:
    more = len(fqns) - MOST_NAMED
    rest = f" and {more} more" if more > 0 else ""
    return (
        f"{len(fqns)} that OpenMetadata had, and the source has not, are"
        f" removed: {', '.join(sorted(fqns)[:MOST_NAMED])}{rest}"
    )


@dataclass(frozen=True)
class _There:
    kind: str
    id: str
    fqn: str


def _tables(client: Any, task: Task) -> Iterator[_There]:
    return _listed(client, TABLE, "/tables", {"database": fqn_of(task, WHOLE)})


def _procedures(client: Any, task: Task) -> Iterator[_There]:
    """Ask schema by schema: the server lists them in no other way."""
    database = {"database": fqn_of(task, WHOLE)}
    for schema in _listed(client, SCHEMA, "/databaseSchemas", database):
        within = {"databaseSchema": schema.fqn}
        yield from _listed(client, PROCEDURE, "/storedProcedures", within)


def _listed(
    client: Any, kind: str, path: str, within: Mapping[str, str]
) -> Iterator[_There]:
    params: dict[str, Any] = {**within, "limit": PAGE}
    while True:
        page = client.client.get(path, params)
        for each in page["data"]:
            yield _There(kind, each["id"], each["fullyQualifiedName"])
        after = page.get("paging", {}).get("after")
        if not after:
            return
        params["after"] = after


def _client(task: Task) -> Any:
    from metadata.ingestion.ometa.ometa_api import (
        OpenMetadata,
    )

    return OpenMetadata(server_config(task))


def _watch(task: Task, account: Account, tell: Callable[[Part], None]) -> None:
    """Let the account see every request, and the answers that count.

    A profile is the last thing that is done of its table: it is told of at
    once, and so is the metadata of an object. Of a database's there may be
    more to come, as of everything that has comments.
    """
    from metadata.ingestion.ometa.client import REST
    from metadata.ingestion.ometa.ometa_api import (
        OpenMetadata,
    )

    request = REST._request
    bulk = OpenMetadata._execute_bulk_operation
    profile = OpenMetadata.ingest_profile_data

    def watched(rest: Any, method: str, path: str, *a: Any, **k: Any) -> Any:
        try:
            answer = request(rest, method, path, *a, **k)
        except Exception as error:
            if not _is_absence(method, error):
                account.requested(method, path, error)
            raise
        account.requested(method, path)
        return answer

    def watched_bulk(client: Any, *a: Any, **k: Any) -> Any:
        result = bulk(client, *a, **k)
        account.bulk(result)
        if isinstance(task.place, LakePlace):
            for part in _objects(account, result):
                tell(part)
        return result

    def watched_profile(client: Any, table: Any, *a: Any, **k: Any) -> Any:
        result = profile(client, table, *a, **k)
        fqn = table.fullyQualifiedName.root
        account.wrote(fqn)
        if part := account.certain(fqn):
            tell(part)
        return result

    REST._request = watched
    OpenMetadata._execute_bulk_operation = watched_bulk
    OpenMetadata.ingest_profile_data = watched_profile


def _objects(account: Account, result: Any) -> Iterator[Part]:
    """Return the objects of a bulk answer of which nothing is left to do."""
    for each in result.successRequest or ():
        part = account.certain(str(each.request))
        if part and part.kind == TABLE and not account.has_comments(part):
            yield part


def _listen(comments: Comments) -> None:
    """Let it be known which comments are sent."""
    from metadata.ingestion.ometa.ometa_api import (
        OpenMetadata,
    )

    bulk = OpenMetadata._execute_bulk_operation

    def heard(client: Any, requests: Any, *a: Any, **k: Any) -> Any:
        comments.sent(requests)
        return bulk(client, requests, *a, **k)

    OpenMetadata._execute_bulk_operation = heard


def _schemas(task: Task) -> frozenset[str]:
    paths = map(path_of, task.changed)
    return frozenset(path[0] for path in paths if path)


def _is_absence(method: str, error: Exception) -> bool:
    not_found = 404
    return (
        method.upper() == "GET"
        and getattr(error, "status_code", None) == not_found
    )


def _list_only(wanted: frozenset[str]) -> None:
    """Let the bucket have exactly these objects.

    A filter of thousands of names would be tried on each of thousands.
    """
    from metadata.ingestion.source.database.datalake.clients.s3 import (
        DatalakeS3Client,
    )

    names = DatalakeS3Client.get_table_names

    def listed(client: Any, *a: Any, **k: Any) -> Iterator[Any]:
        found = names(client, *a, **k)
        return (each for each in found if each[0] in wanted)

    DatalakeS3Client.get_table_names = listed


def _profile_only(wanted: list[str]) -> None:
    """Let the profiler take exactly these tables.

    Its own filter is an expression that the server is to apply, which a
    server of 1.12 ignores.
    """
    from metadata.profiler.source.fetcher.fetcher_strategy import (
        DatabaseFetcherStrategy,
    )

    def tables(strategy: Any, _: Any) -> Iterator[Any]:
        for fqn in wanted:
            found = strategy.metadata.get_by_name(
                entity=entity(TABLE), fqn=fqn, fields=list(FIELDS)
            )
            if found is not None:
                yield found

    DatabaseFetcherStrategy._get_table_entities = tables
    DatabaseFetcherStrategy._seed_table_total = lambda *_: None


def _count_small_tables(rows: int) -> None:
    """Let rows be counted where the server takes them for few.

    Its estimate is of the last ANALYZE, which may be old (or -1: there was
    none); a later one changes no row, so no other profile would follow.

    Args:
        rows: A table that is taken for smaller is read as a whole anyway.
    """
    from metadata.profiler.orm.functions.table_metric_computer import (
        BaseTableMetricComputer,
        PostgresTableMetricComputer,
    )

    estimate = PostgresTableMetricComputer.compute

    def compute(computer: Any) -> Any:
        found = estimate(computer)
        if found is not None and (found.rowCount or 0) < rows:
            return BaseTableMetricComputer.compute(computer)
        return found

    PostgresTableMetricComputer.compute = compute


def _attribute(processor: Any, account: Account) -> None:
    """Tell of each failure of the profiler which table it belongs to."""
    run = processor._run

    def attributing(record: Any, *a: Any, **k: Any) -> Any:
        failures = processor.status.failures
        before = len(failures)
        try:
            return run(record, *a, **k)
        finally:
            fqn = record.entity.fullyQualifiedName.root
            for failure in failures[before:]:
                account.failed(fqn, str(failure.error))
            del failures[before:]

    processor._run = attributing


def _with_rows(workflow: Any) -> None:
    """Let the server have some rows of each table that is profiled."""
    processor = workflow.steps[0]
    run = processor._run

    def showing(record: Any, *a: Any, **k: Any) -> Any:
        result = run(record, *a, **k)
        sampler = record.profiler_source.interface.sampler
        workflow.metadata.ingest_table_sample_data(
            record.entity, sampler.fetch_sample_data(sampler.columns)
        )
        return result

    processor._run = showing
