"""The live service as a test has it: post jobs, look, wait."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
import psycopg
from psycopg.rows import dict_row

from moderate.clients.platform_api import PlatformApi
from moderate.clients.platform_models import Job
from moderate.inbox.model import FINAL_STATES, State
from moderate.local.process import read_tail
from moderate.local.services.s3 import OUTPUTS_BUCKET
from moderate.local.stack import INBOX_DATABASE, Stack
from moderate_tests.e2e.waiting import wait_until
from moderate_tests.e2e.ways import Way
from moderate_tests.e2e.webserver import WebserverUI

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

USER = "alice"
PATIENCE_SECONDS = 240.0
"""A condition is awaited: on a quiet machine it takes a few of them."""
LOG_LINES = 15
SERIES = b"time,value\n" + b"".join(
    f"2024-01-{day:02} {hour:02}:00,{(day * hour) % 17 + hour}\n".encode()
    for day in range(1, 15)
    for hour in range(24)
)
"""Two weeks of hourly values: enough for a window of a day."""

ITEMS = """SELECT id, kind, key, state, dispatch, failures, run_id, batch_id,
       payload, outcome, last_error FROM work_item"""
OPEN_BATCHES = """SELECT id, kind, state, run_key, run_id,
       clock_timestamp() - created_at AS age,
       clock_timestamp() - heartbeat_at AS silence
  FROM batch WHERE state <> 'closed' ORDER BY id"""

Found = TypeVar("Found")
Row = dict[str, Any]


class Live:
    """The service on a stack that is up.

    Everything is looked at from outside: the platform's API and ledger, the
    webserver, the inbox's tables, the objects in S3.

    Args:
        stack: What it runs on.
        way: How its runs come to be begun.
    """

    def __init__(self, stack: Stack, way: Way = Way.STOCK) -> None:
        self.stack = stack
        self.way = way
        self.ui = WebserverUI(stack.webserver.url)

    def close(self) -> None:
        """Close the connections."""
        self.user.close()
        self.s3.close()

    @cached_property
    def user(self) -> PlatformApi:
        """The platform as its user has it."""
        url = self.stack.platform_api.url
        return PlatformApi(url, USER, self.stack.password(USER))

    @cached_property
    def s3(self) -> "S3Client":
        """The object storage."""
        return self.stack.s3.client()

    @cached_property
    def _object_id(self) -> int:
        asset = self.user.create_asset("Series of the tests")
        return self.user.upload_object(asset.id, "series.csv", SERIES).id

    def post(self, variable: str = "value") -> int:
        """Post a job on the series; return its id."""
        job = self.user.create_job("matrix_profile", self._object_id, variable)
        return job.id

    def post_on(self, series: bytes) -> int:
        """Post a job on a series of its own; return its id."""
        asset = self.user.create_asset("Series of a job")
        uploaded = self.user.upload_object(asset.id, "series.csv", series)
        return self.user.create_job("matrix_profile", uploaded.id, "value").id

    def job(self, job_id: int) -> Job:
        """Return a job, as its user sees it."""
        job = self.user.get_job(job_id)
        assert job
        return job

    def results(self, job_id: int) -> Mapping[str, Any]:
        """Return what the platform was told of a job that is over."""
        job = self.job(job_id)
        assert job.finalised_at
        assert job.results
        return job.results

    def ledger(self) -> dict[str, Any]:
        """Return all that the platform API saw."""
        answer = httpx.get(self._control("ledger"), timeout=30)
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    def patches(self, job_id: int) -> list[Mapping[str, Any]]:
        """Return the results that a job was given, in order."""
        told = self.ledger()["job_patches"].get(str(job_id), [])
        return [
            each["body"]["results"] for each in told if each["status"] == 200
        ]

    def faults(self, **faults: Any) -> None:
        """Switch on these faults of the platform API, and no others."""
        answer = httpx.put(self._control("faults"), json=faults, timeout=30)
        answer.raise_for_status()

    def active_faults(self) -> dict[str, Any]:
        """Return the platform API's faults, with what is left of them."""
        answer = httpx.get(self._control("faults"), timeout=30)
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    def _control(self, what: str) -> str:
        return f"{self.stack.platform_api.url}/_emulator/{what}"

    def items(self) -> list[Row]:
        """Return all rows of the inbox."""
        return self.query(f"{ITEMS} ORDER BY id")

    def item(self, job_id: int) -> Row | None:
        """Return the work item of a job, if there is one."""
        rows = self.query(
            f"{ITEMS} WHERE kind = 'matrix_profile' AND key = %s",
            str(job_id),
        )
        return rows[0] if rows else None

    def state(self, job_id: int) -> State | None:
        """Return the state of a job's work item, if there is one."""
        item = self.item(job_id)
        return State(item["state"]) if item else None

    def over(self) -> set[str]:
        """Return the keys of the jobs' items that have ended."""
        return {
            each["key"]
            for each in self.items()
            if each["kind"] == "matrix_profile"
            and State(each["state"]) in FINAL_STATES
        }

    def words(self, item_id: int) -> list[Row]:
        """Return the final words of an item."""
        return self.query(
            f"{ITEMS} WHERE kind = 'platform_job_result'"
            " AND payload ->> 'item_id' = %s",
            str(item_id),
        )

    def open_batches(self) -> list[Row]:
        """Return the batches that hold items."""
        return self.query(OPEN_BATCHES)

    def query(self, text: str, *parameters: object) -> list[Row]:
        """Ask the inbox's database."""
        url = self.stack.postgres.url(INBOX_DATABASE)
        with psycopg.connect(
            url, row_factory=dict_row, connect_timeout=5
        ) as conn:
            return conn.execute(text.encode(), parameters).fetchall()

    def output(self, key: str) -> bytes:
        """Return a report or a log."""
        answer = self.s3.get_object(Bucket=OUTPUTS_BUCKET, Key=key)
        with answer["Body"] as body:
            return body.read()

    def until(
        self,
        condition: Callable[[], Found | None],
        what: str,
        within: float = PATIENCE_SECONDS,
    ) -> Found:
        """Wait for a condition; a timeout tells how the service stands."""
        return wait_until(condition, what, within=within, explain=self.explain)

    def until_settled(
        self, jobs: Sequence[int], within: float = PATIENCE_SECONDS
    ) -> None:
        """Wait until nothing is left to be done, and the jobs are over."""
        self.until(
            lambda: self.is_settled(jobs),
            f"jobs {list(jobs)} are over and told",
            within,
        )

    def is_settled(self, jobs: Sequence[int]) -> bool:
        """Whether nothing is left to be done, and the jobs are over."""
        items = self.items()
        keys = {
            each["key"] for each in items if each["kind"] == "matrix_profile"
        }
        return (
            keys.issuperset(map(str, jobs))
            and all(State(each["state"]) in FINAL_STATES for each in items)
            and not self.open_batches()
        )

    def explain(self) -> str:
        """Tell how the service stands: inbox, batches, runs, logs."""
        parts = [self._explain_database()]
        for part in self.stack.parts:
            state = "running" if part.running else "NOT RUNNING"
            parts.append(f"--- {part.name}: {state} ---")
            parts.append(read_tail(part.log, 0, LOG_LINES))
        return "\n".join(parts)

    def _explain_database(self) -> str:
        try:
            rows = [*self.open_batches(), *self.items()[-20:]]
        except psycopg.OperationalError as error:
            return f"inbox: {error}"
        return "\n".join(map(str, rows))
