"""What happened, for tests to hold against: it survives a kill, too."""

import json
from collections import defaultdict
from typing import Any

from pydantic import BaseModel, Field

from moderate.local.platform_api.faults import TaskKind
from moderate.local.platform_api.second_calls import SecondCall, explained
from moderate.local.platform_api.storage import Storage, now
from moderate.local.platform_api.trust_calls import (
    FAILED,
    RUNNING,
    TrustCall,
)

DDL = (
    (
        "CREATE TABLE IF NOT EXISTS trust_call (id INTEGER PRIMARY KEY, "
        "kind TEXT, subject TEXT, task_id INTEGER, body TEXT, "
        "started_at TEXT, finished_at TEXT, outcome TEXT)"
    ),
    (
        "CREATE INDEX IF NOT EXISTS trust_call_subject "
        "ON trust_call (kind, subject)"
    ),
    (
        "CREATE TABLE IF NOT EXISTS job_patch (id INTEGER PRIMARY KEY, "
        "job_id INTEGER, at TEXT, username TEXT, status INTEGER, body TEXT)"
    ),
    (
        "CREATE TABLE IF NOT EXISTS message (id INTEGER PRIMARY KEY, "
        "job_id INTEGER, at TEXT, fate TEXT)"
    ),
    (
        "CREATE TABLE IF NOT EXISTS request (route TEXT, status INTEGER, "
        "number INTEGER, PRIMARY KEY (route, status)) WITHOUT ROWID"
    ),
    (
        "CREATE TABLE IF NOT EXISTS peak (name TEXT PRIMARY KEY, "
        "value INTEGER) WITHOUT ROWID"
    ),
    "CREATE TABLE IF NOT EXISTS start (at TEXT)",
)
TABLES = ("trust_call", "job_patch", "message", "request", "peak", "start")
ALL_CALLS = "SELECT * FROM trust_call ORDER BY id"
REPEATED = """SELECT * FROM trust_call WHERE (kind, subject) IN
 (SELECT kind, subject FROM trust_call GROUP BY 1, 2 HAVING count(*) > 1)
 ORDER BY id"""


class JobPatch(BaseModel):
    """One PATCH of a job, whatever became of it."""

    job_id: int
    at: str
    username: str
    status: int
    body: dict[str, Any]


class Message(BaseModel):
    """One job message."""

    job_id: int
    at: str
    fate: str = Field(
        description=(
            "`published`; `unroutable`: the queue does not exist; "
            "`suppressed`: a fault; `failed`: the broker broke off."
        )
    )


class Ledger(BaseModel):
    """Everything since the state file was made or reset."""

    trust_calls: list[TrustCall]
    trust_calls_by_user: dict[str, int]
    trust_calls_by_object: dict[str, int]
    second_calls: list[SecondCall] = Field(
        description="Calls that were not the first for a user or object."
    )
    job_patches: dict[int, list[JobPatch]]
    messages: list[Message]
    tasks_in_flight: int
    max_tasks_in_flight: int
    requests: dict[str, dict[int, int]] = Field(
        description="Number of requests by route and by status."
    )


class LedgerBook:
    """Writes the ledger down and reads it back.

    Args:
        storage: The database that it shares.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        for statement in DDL:
            storage.execute(statement)
        storage.execute("INSERT INTO start VALUES (?)", (now(),))

    def clear(self) -> None:
        """Forget everything."""
        for table in TABLES:
            self._storage.execute(f"DELETE FROM {table}")  # noqa: S608

    def trust_call_began(
        self,
        kind: TaskKind,
        subject: str,
        task_id: int,
        body: dict[str, Any] | None,
    ) -> int:
        """Write down a call of the trust service; returns its number."""
        (row,) = self._storage.execute(
            "INSERT INTO trust_call "
            "(kind, subject, task_id, body, started_at, outcome) "
            "VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
            (kind, subject, task_id, json.dumps(body), now(), RUNNING),
        )
        return int(row[0])

    def trust_call_ended(self, number: int, outcome: str) -> None:
        """Write down how a call of the trust service ended."""
        self._storage.execute(
            "UPDATE trust_call SET finished_at = ?, outcome = ? WHERE id = ?",
            (now(), outcome, number),
        )

    def failures(self, kind: TaskKind, subject: str) -> int:
        """How often a call for that user or object has failed."""
        (row,) = self._storage.execute(
            "SELECT count(*) FROM trust_call "
            "WHERE kind = ? AND subject = ? AND outcome = ?",
            (kind, subject, FAILED),
        )
        return int(row[0])

    def job_patched(
        self, job_id: int, username: str, status: int, body: dict[str, Any]
    ) -> None:
        """Write down a PATCH of a job."""
        self._storage.execute(
            "INSERT INTO job_patch (job_id, at, username, status, body) "
            "VALUES (?, ?, ?, ?, ?)",
            (job_id, now(), username, status, json.dumps(body)),
        )

    def message_sent(self, job_id: int, fate: str) -> None:
        """Write down what became of a job message."""
        self._storage.execute(
            "INSERT INTO message (job_id, at, fate) VALUES (?, ?, ?)",
            (job_id, now(), fate),
        )

    def requested(self, route: str, status: int) -> None:
        """Count a request."""
        self._storage.execute(
            "INSERT INTO request VALUES (?, ?, 1) "
            "ON CONFLICT DO UPDATE SET number = number + 1",
            (route, status),
        )

    def tasks_in_flight(self, number: int) -> None:
        """Remember the most tasks that were in flight at once."""
        self._storage.execute(
            "INSERT INTO peak VALUES ('tasks', ?) "
            "ON CONFLICT DO UPDATE SET value = max(value, excluded.value)",
            (number,),
        )

    def read(self, tasks_in_flight: int, *, calls: bool = True) -> Ledger:
        """Everything that was written down.

        Args:
            tasks_in_flight: How many there are now.
            calls: Whether to list every call of the trust service.
        """
        return Ledger(
            trust_calls=self._calls(ALL_CALLS) if calls else [],
            trust_calls_by_user=self._count("did"),
            trust_calls_by_object=self._count("proof"),
            second_calls=list(
                explained(self._calls(REPEATED), self._starts())
            ),
            job_patches=self._patches(),
            messages=[
                Message.model_validate(row) for row in self._rows("message")
            ],
            tasks_in_flight=tasks_in_flight,
            max_tasks_in_flight=self._peak(),
            requests=self._requests(),
        )

    def _calls(self, query: str) -> list[TrustCall]:
        return [
            TrustCall.model_validate(
                {**dict(row), "body": json.loads(row["body"])}
            )
            for row in self._storage.execute(query)
        ]

    def _starts(self) -> list[str]:
        return [
            row["at"] for row in self._storage.execute("SELECT * FROM start")
        ]

    def _count(self, kind: TaskKind) -> dict[str, int]:
        rows = self._storage.execute(
            "SELECT subject, count(*) FROM trust_call WHERE kind = ? "
            "GROUP BY subject",
            (kind,),
        )
        return {row[0]: row[1] for row in rows}

    def _rows(self, table: str) -> list[dict[str, Any]]:
        rows = self._storage.execute(
            f"SELECT * FROM {table} ORDER BY id"  # noqa: S608
        )
        return [dict(row) for row in rows]

    def _patches(self) -> dict[int, list[JobPatch]]:
        patches: dict[int, list[JobPatch]] = defaultdict(list)
        for row in self._rows("job_patch"):
            body = json.loads(row["body"])
            patch = JobPatch.model_validate({**row, "body": body})
            patches[patch.job_id].append(patch)
        return patches

    def _peak(self) -> int:
        rows = self._storage.execute("SELECT value FROM peak")
        return int(rows[0][0]) if rows else 0

    def _requests(self) -> dict[str, dict[int, int]]:
        requests: dict[str, dict[int, int]] = defaultdict(dict)
        for row in self._storage.execute("SELECT * FROM request"):
            requests[row["route"]][row["status"]] = row["number"]
        return requests
