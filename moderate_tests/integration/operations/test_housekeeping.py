"""What is long over is pruned, bounded; what is needed stays."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from dagster import (
    AssetCheckEvaluation,
    AssetCheckKey,
    AssetKey,
    AssetMaterialization,
    AssetObservation,
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    instance_for_test,
)
from dagster._core.events import StepMaterializationData
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecordStatus,
)
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.runs.schema import RunsTable
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage
from dagster._core.test_utils import create_run_for_test

from moderate.definitions import build_defs
from moderate.flows.operations.figures import INBOX, SCHEMA_CURRENT, flow_key
from moderate.flows.operations.housekeeping import prune_points, prune_runs
from moderate.local.services.postgres import Postgres
from moderate_tests.integration.flows.platform import environment
from moderate_tests.integration.operations.conftest import (
    KIND,
    Watched,
    output_of,
)

pytestmark = pytest.mark.services

JOB = "housekeeping_job"
DAY = timedelta(days=1)


def always() -> bool:
    return True


@pytest.fixture
def storage(postgres_server: Postgres) -> Iterator[DagsterInstance]:
    """Dagster with the storage that it has in production."""
    name = f"dagster_{uuid4().hex}"
    postgres_server.create_database(name)
    overrides = {
        "storage": {
            "custom": {
                "module": "moderate.dagster_storage",
                "class": "PooledPostgresStorage",
                "config": {"postgres_url": postgres_server.url(name)},
            }
        }
    }
    with instance_for_test(overrides=overrides) as instance:
        yield instance
    postgres_server.drop_database(name)


def add_run(
    instance: DagsterInstance,
    days: float,
    job: str = JOB,
    status: DagsterRunStatus = DagsterRunStatus.SUCCESS,
) -> str:
    """Make a run that is so many days old."""
    then = datetime.now(UTC) - timedelta(days=days)
    run: DagsterRun = create_run_for_test(
        instance, job_name=job, status=status
    )
    instance.report_engine_event("an event of the run", run)
    runs = instance.run_storage
    assert isinstance(runs, SqlRunStorage)
    with runs.connect() as conn:
        conn.execute(
            RunsTable.update()
            .where(RunsTable.c.run_id == run.run_id)
            .values(create_timestamp=then.replace(tzinfo=None))
        )
    return run.run_id


def prune(
    instance: DagsterInstance,
    limit: int = 100,
    in_time: Callable[[], bool] = always,
) -> int:
    return prune_runs(
        instance, [JOB], age=30 * DAY, limit=limit, in_time=in_time
    )


def test_old_runs_of_our_jobs_go_with_their_events(
    storage: DagsterInstance,
) -> None:
    old = add_run(storage, 32)
    kept = {
        add_run(storage, 29),
        add_run(storage, 31, status=DagsterRunStatus.STARTED),
        add_run(storage, 31, status=DagsterRunStatus.NOT_STARTED),
        add_run(storage, 31, job="building_stock_job"),
    }
    assert prune(storage) == 1
    assert {run.run_id for run in storage.get_runs()} == kept
    assert not storage.all_logs(old)
    assert all(storage.all_logs(each) for each in kept)
    assert prune(storage) == 0


def test_no_more_runs_go_at_once_than_the_setting_says(
    storage: DagsterInstance,
) -> None:
    oldest = [add_run(storage, 40 - n) for n in range(5)]
    assert prune(storage, limit=2) == 2
    assert {r.run_id for r in storage.get_runs()} == set(oldest[2:])
    assert prune(storage, in_time=lambda: False) == 0
    assert prune(storage) == 2, "the latest stays"


def test_the_latest_success_of_a_job_stays_however_old_it_is(
    storage: DagsterInstance,
) -> None:
    """The UI goes on to say how a job went that runs once a year."""
    add_run(storage, 400)
    latest = add_run(storage, 390)
    add_run(storage, 380, status=DagsterRunStatus.FAILURE)
    assert prune(storage) == 2
    assert [run.run_id for run in storage.get_runs()] == [latest]


def test_runs_of_batch_jobs_go_by_an_age_of_their_own(
    watched: Watched, storage: DagsterInstance
) -> None:
    """Of every job that this service has, and of assets picked by hand."""
    jobs = sorted(build_defs().get_repository_def().job_names)
    assert "__ASSET_JOB" in jobs
    days = 100
    for job in jobs:
        add_run(storage, days, job)
        add_run(storage, days, job)
    definition = build_defs().resolve_job_def(JOB)
    with environment({"RUNS_KEEP_SECONDS": str(30 * 86_400)}):
        result = definition.execute_in_process(instance=storage)
    told = output_of(result)
    inbox_jobs = {
        "matrix_profile_job",
        "platform_job_results_job",
        "propagate_new_user_to_trust_services_job",
        "create_asset_object_proof_job",
    }
    assert told["runs deleted"].value == len(inbox_jobs)
    assert told["batch runs deleted"].value == 0
    with environment({"BATCH_RUNS_KEEP_SECONDS": str(90 * 86_400)}):
        result = definition.execute_in_process(instance=storage)
    told = output_of(result)
    others = set(jobs) - inbox_jobs
    # Its own latest success is the run before: both of its old ones go.
    assert told["batch runs deleted"].value == len(others) + 1


def test_an_asset_keeps_its_latest_version_when_its_run_goes(
    storage: DagsterInstance,
) -> None:
    """What Dagster remembers of the asset itself is not of the run."""
    key = AssetKey("keycloak_users_count")
    for days in (40, 35):
        run = storage.get_run_by_id(add_run(storage, days))
        assert run
        storage.report_dagster_event(
            DagsterEvent(
                DagsterEventType.ASSET_MATERIALIZATION.value,
                JOB,
                event_specific_data=StepMaterializationData(
                    AssetMaterialization(key, metadata={"days": days})
                ),
            ),
            run.run_id,
        )
    assert prune(storage) == 1
    latest = storage.get_latest_materialization_event(key)
    assert latest
    assert latest.asset_materialization
    assert latest.asset_materialization.metadata["days"].value == 35


def test_old_points_go_and_new_ones_and_other_assets_stay(
    storage: DagsterInstance,
) -> None:
    ours, other = flow_key("user_dids"), AssetKey("keycloak_users_count")
    for key in (ours, other):
        storage.report_runless_asset_event(AssetObservation(key))
    age_all_events(storage, 8)
    storage.report_runless_asset_event(AssetObservation(ours))
    assert count_points(storage, ours) == 2
    assert prune_points(storage, age=7 * DAY, in_time=always) == 1
    assert count_points(storage, ours) == 1
    assert count_points(storage, other) == 1
    assert prune_points(storage, age=7 * DAY, in_time=always) == 0


def age_all_events(instance: DagsterInstance, days: int) -> None:
    storage = instance.event_log_storage
    assert isinstance(storage, SqlEventLogStorage)
    then = datetime.now(UTC) - days * DAY
    with storage.index_connection() as conn:
        conn.execute(
            SqlEventLogStorageTable.update().values(
                timestamp=then.replace(tzinfo=None)
            )
        )


def count_points(storage: DagsterInstance, key: AssetKey) -> int:
    return len(storage.fetch_observations(key, limit=10).records)


def test_a_check_that_is_told_twice_shows_its_latest_verdict(
    storage: DagsterInstance,
) -> None:
    """Evaluations outside of runs must not clash in Dagster's table."""
    for passed in (True, False):
        storage.report_runless_asset_event(
            AssetCheckEvaluation(
                asset_key=INBOX,
                check_name=SCHEMA_CURRENT,
                passed=passed,
                metadata={},
            )
        )
    record = storage.get_latest_asset_check_evaluation_record(
        AssetCheckKey(INBOX, SCHEMA_CURRENT)
    )
    assert record
    assert record.status is AssetCheckExecutionRecordStatus.FAILED


def test_the_job_empties_done_items_and_says_what_it_did(
    watched: Watched,
) -> None:
    watched.record(KIND, "old", "young", "pending")
    watched.sql(
        "UPDATE work_item SET state = 'done', finished_at ="
        " clock_timestamp() - interval '31 days' WHERE key = 'old';"
        "UPDATE work_item SET state = 'done', finished_at ="
        " clock_timestamp() WHERE key = 'young'"
    )
    job = build_defs().resolve_job_def("housekeeping_job")
    result = job.execute_in_process(instance=watched.instance)
    assert output_of(result)["items emptied"].value == 1
    rows = watched.rows("SELECT key FROM work_item WHERE payload = '{}'")
    assert [row["key"] for row in rows] == ["old"]
    with watched.inbox.transaction() as conn:
        assert watched.inbox.known_keys(conn, KIND, ["old"]) == {"old"}


def test_one_housekeeping_is_bounded(watched: Watched) -> None:
    watched.record(KIND, *(str(n) for n in range(7)))
    watched.sql(
        "UPDATE work_item SET state = 'done', finished_at ="
        " clock_timestamp() - interval '31 days'"
    )
    job = build_defs().resolve_job_def("housekeeping_job")
    with environment({"PRUNE_LIMIT": "5"}):
        job.execute_in_process(instance=watched.instance)
    (row,) = watched.rows(
        "SELECT count(*) AS n FROM work_item WHERE dropped_at IS NOT NULL"
    )
    assert row["n"] == 5
