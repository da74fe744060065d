"""Whether a tick costs more when Dagster remembers many runs.

``BENCH_PAST`` says how many; a million take some minutes to make.
"""

import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import psycopg
from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    RunsFilter,
    instance_for_test,
)

from benchmarks.history import postgres, timed
from benchmarks.report import Row
from moderate.definitions import build_defs
from moderate.flows import tags
from moderate.flows.operations.housekeeping import NAME, prune_runs
from moderate.flows.operations.runs import count_runs

PAST = int(os.environ.get("BENCH_PAST") or 1_000_000)
RUN_KEY = "dagster/run_key"
DAY = timedelta(days=1)

FILL = """
WITH model AS (SELECT * FROM runs ORDER BY id LIMIT 1),
made AS (
    INSERT INTO runs (run_id, snapshot_id, pipeline_name, mode, status,
                      run_body, create_timestamp, update_timestamp,
                      start_time, end_time)
    SELECT fresh.id, snapshot_id, pipeline_name, mode, status,
           replace(run_body, run_id, fresh.id), moment, moment,
           extract(epoch FROM moment), extract(epoch FROM moment) + 5
      FROM model, generate_series(1, %(past)s) AS n,
           LATERAL (SELECT gen_random_uuid()::text AS id,
                           (now() AT TIME ZONE 'UTC')
                           - interval '60 days' * n / %(past)s
                           - interval '1 day' AS moment) AS fresh
    RETURNING run_id
), tagged AS (SELECT run_id, row_number() OVER () AS n FROM made)
INSERT INTO run_tags (run_id, key, value)
SELECT run_id, tag.key, tag.value FROM tagged,
       LATERAL (VALUES ('moderate/batch', n::text),
                       ('moderate/item', n::text),
                       ('moderate/kind', 'user_did'),
                       ('moderate/flow', 'user_dids'),
                       ('moderate/dispatch', '1'),
                       ('dagster/run_key', 'user_did:' || n || ':1'),
                       ('dagster/sensor_name', 'keycloak_user_sensor'))
       AS tag (key, value)
"""


def acts(instance: DagsterInstance) -> dict[str, Callable[[], object]]:
    """Return what our ticks and Dagster's ask of its runs."""
    now = datetime.now(UTC)
    ours = (build_defs().resources or {})["our_jobs"]
    return {
        "runs that started long ago (settling)": lambda: instance.get_runs(
            RunsFilter(
                statuses=[DagsterRunStatus.STARTED],
                updated_before=now - timedelta(minutes=1),
            ),
            limit=200,
        ),
        "the run of a batch, by tag (settling)": lambda: instance.get_runs(
            RunsFilter(tags={tags.BATCH: "777"}), limit=1
        ),
        "runs of four run keys (Dagster's check)": lambda: [
            instance.get_runs(RunsFilter(tags={RUN_KEY: f"user_did:{n}:1"}))
            for n in range(4)
        ],
        "runs for the UI's points": lambda: count_runs(instance, ours),
    }


def measure() -> Sequence[Row]:
    """Time each on one run and on many."""
    with postgres() as server:
        server.create_database("dagster")
        storage = {
            "module": "moderate.dagster_storage",
            "class": "PooledPostgresStorage",
            "config": {"postgres_url": server.url("dagster")},
        }
        overrides = {"storage": {"custom": storage}}
        with instance_for_test(overrides=overrides) as instance:
            return _measured(instance, server.url("dagster"))


def _measured(instance: DagsterInstance, url: str) -> Sequence[Row]:
    instance.create_run_for_job(
        build_defs().resolve_job_def(NAME), status=DagsterRunStatus.SUCCESS
    )
    before = {name: timed(act) for name, act in acts(instance).items()}
    begun = time.monotonic()
    with psycopg.connect(url, autocommit=True) as conn:
        # What refers to a run is made with it: to look each up is a third of
        # the time.
        conn.execute("SET session_replication_role = replica")
        conn.execute(FILL, {"past": PAST})
        conn.execute("VACUUM ANALYZE")
    seconds = time.monotonic() - begun
    after = {name: timed(act) for name, act in acts(instance).items()}
    begun = time.monotonic()
    deleted = prune_runs(
        instance, [NAME], age=30 * DAY, limit=200, in_time=lambda: True
    )
    each = (time.monotonic() - begun) / max(1, deleted) * 1000
    rows = [
        Row(
            f"{name}, {PAST:,} runs over",
            f"{after[name]:.1f} ms (one run: {before[name]:.1f} ms)",
            "flat",
        )
        for name in before
    ]
    return [
        *rows,
        Row("deleting an old run", f"{each:.0f} ms", ""),
        Row("(making them took)", f"{seconds:.0f} s", ""),
    ]
