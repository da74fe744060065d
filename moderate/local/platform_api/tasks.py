"""Tasks in the background, and the trust service that they call."""

import asyncio
import logging
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

from moderate.local.platform_api.config import EmulatorSettings
from moderate.local.platform_api.faults import (
    FaultInjector,
    TaskFault,
    TaskKind,
)
from moderate.local.platform_api.ledger import LedgerBook
from moderate.local.platform_api.pool import ConnectionPool, PoolTimeoutError
from moderate.local.platform_api.storage import (
    ASSETS,
    OBJECTS,
    TASKS,
    USERS,
    Row,
    Storage,
    Table,
    now,
)
from moderate.local.platform_api.trust_calls import (
    DISCARDED,
    FAILED,
    SUCCEEDED,
)

log = logging.getLogger(__name__)

PATHS: dict[TaskKind, str] = {"did": "/api/dids", "proof": "/api/proofs"}
HTTP_STATUS_HELP = "https://developer.mozilla.org/en-US/docs/Web/HTTP/Status"

# The names show: a task's error is the exception's Python repr.


class HTTPStatusError(Exception):
    """The trust service answered with an error."""


class ReadTimeout(Exception):  # noqa: N818
    """The trust service did not answer in time."""


TASK_ERRORS = (ValueError, HTTPStatusError, ReadTimeout, PoolTimeoutError)


class TrustService:
    """Plays the trust service: it waits, then answers or fails.

    Args:
        settings: How long it takes and how often it fails.
        faults: What goes wrong on demand.
        ledger: Where calls are written down.
    """

    def __init__(
        self,
        settings: EmulatorSettings,
        faults: FaultInjector,
        ledger: LedgerBook,
    ) -> None:
        self._settings = settings
        self._faults = faults
        self._ledger = ledger

    async def create_did(self, task_id: int, username: str) -> tuple[int, str]:
        """Make a DID; returns the call's number and the DID.

        Raises:
            HTTPStatusError, ReadTimeout: It failed.
        """
        number = await self._call("did", username, task_id, None)
        return number, f"did:iota:stub:0x{uuid.uuid4().hex}"

    async def create_proof(
        self, task_id: int, body: dict[str, Any]
    ) -> tuple[int, str]:
        """Make a proof; returns the call's number and the proof's id.

        Raises:
            HTTPStatusError, ReadTimeout: It failed.
        """
        number = await self._call("proof", body["assetId"], task_id, body)
        return number, f"0x{uuid.uuid4().hex * 2}"

    def no_proof(self, key: str) -> str:
        """What the API says of an object that the service does not know."""
        query = key.replace("/", "%2F")
        url = f"{self._settings.trust_url}/api/proofs?assetId={query}"
        return (
            f"Error fetching proof for {key}: Client error '404 Not Found' "
            f"for url '{url}'\nFor more information check: "
            f"{HTTP_STATUS_HELP}/404"
        )

    async def _call(
        self,
        kind: TaskKind,
        subject: str,
        task_id: int,
        body: dict[str, Any] | None,
    ) -> int:
        failures = self._ledger.failures(kind, subject)
        fault = self._faults.on_task(kind, subject, failures)
        number = self._ledger.trust_call_began(kind, subject, task_id, body)
        await asyncio.sleep(self._seconds(fault))
        error = self._error(kind, fault)
        if error is not None:
            self._ledger.trust_call_ended(number, FAILED)
            raise error
        self._ledger.trust_call_ended(number, SUCCEEDED)
        return number

    def _seconds(self, fault: TaskFault | None) -> float:
        if fault is not None and fault.hang:
            return self._settings.trust_timeout_seconds
        if fault is not None and fault.seconds is not None:
            return fault.seconds
        override = self._faults.faults.task_seconds
        return self._settings.task_seconds if override is None else override

    def _error(
        self, kind: TaskKind, fault: TaskFault | None
    ) -> Exception | None:
        if fault is not None and fault.hang:
            return ReadTimeout("")
        fraction = self._faults.faults.task_failure_fraction
        if fraction is None:
            fraction = self._settings.task_failure_fraction
        fails = fault.fail if fault else self._faults.by_chance(fraction)
        if not fails:
            return None
        return HTTPStatusError(
            "Server error '500 Internal Server Error' for url "
            f"'{self._settings.trust_url}{PATHS[kind]}'\nFor more "
            f"information check: {HTTP_STATUS_HELP}/500"
        )


class TaskRunner:
    """Runs tasks after the request that made them was answered.

    A task holds a database connection for as long as the trust service
    takes. What runs when the emulator is killed never ends: its row keeps
    neither result nor error.

    Args:
        storage: The database.
        pool: Its connections.
        trust: What tasks call.
        ledger: Where the number of running tasks is written down.
    """

    def __init__(
        self,
        storage: Storage,
        pool: ConnectionPool,
        trust: TrustService,
        ledger: LedgerBook,
    ) -> None:
        self._storage = storage
        self._pool = pool
        self._trust = trust
        self._ledger = ledger
        self._running: set[asyncio.Task[None]] = set()

    @property
    def in_flight(self) -> int:
        """How many tasks were made and have not ended."""
        return len(self._running)

    async def cancel(self) -> None:
        """Drop all tasks where they are, as a crash would."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def start_did(self, owner: str, username: str) -> int:
        """Make a task that gives a user a DID; returns its id."""
        return self._start(
            owner, lambda task_id: self._make_did(task_id, username)
        )

    def start_proof(self, owner: str, key_or_id: str) -> int:
        """Make a task that gives an object a proof; returns its id."""
        return self._start(
            owner,
            lambda task_id: self._make_proof(task_id, key_or_id, owner),
        )

    def _start(
        self, owner: str, work: Callable[[int], Coroutine[Any, Any, Row]]
    ) -> int:
        values = {"username_owner": owner, "created_at": now()}
        task_id: int = self._storage.insert(TASKS, values)["id"]
        task = asyncio.create_task(self._run(task_id, work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        self._ledger.tasks_in_flight(self.in_flight)
        return task_id

    async def _run(
        self, task_id: int, work: Callable[[int], Coroutine[Any, Any, Row]]
    ) -> None:
        try:
            async with self._pool.connection():
                result = await work(task_id)
                self._storage.update(
                    TASKS, task_id, result=result, finished_at=now()
                )
        except TASK_ERRORS as error:
            await self._fail(task_id, error)

    async def _fail(self, task_id: int, error: Exception) -> None:
        try:
            async with self._pool.connection():
                self._storage.update(
                    TASKS, task_id, error=repr(error), finished_at=now()
                )
        except PoolTimeoutError:
            # As in the real API: the task's row is left open for ever.
            log.warning("no connection to write the error of %d", task_id)

    async def _make_did(self, task_id: int, username: str) -> Row:
        user = self._reread(USERS, "username", username)
        if user["trust_did"]:
            message = f"User {username} already has a DID"
            raise ValueError(message)
        call, did = await self._trust.create_did(task_id, username)
        user = self._reread(USERS, "username", username)
        if user["trust_did"]:
            self._ledger.trust_call_ended(call, DISCARDED)
            message = (
                f"The DID for user {username} seems to have been created in "
                "the meantime"
            )
            raise ValueError(message)
        self._storage.update(USERS, user["id"], trust_did=did)
        return {**user, "trust_did": did}

    async def _make_proof(
        self, task_id: int, key_or_id: str, requester: str
    ) -> Row:
        found = self._object(key_or_id)
        if found["proof_id"]:
            message = f"Asset object '{key_or_id}' already has a proof"
            raise ValueError(message)
        body = {
            "assetId": found["key"],
            "assetHash": found["sha256_hash"],
            "metadataHash": found["sha256_hash"],
            "did": self._proof_owner_did(found, requester),
        }
        call, proof_id = await self._trust.create_proof(task_id, body)
        found = self._object(key_or_id)
        if found["proof_id"]:
            self._ledger.trust_call_ended(call, DISCARDED)
            message = (
                f"The proof for object '{key_or_id}' seems to have been "
                "created in the meantime"
            )
            raise ValueError(message)
        self._storage.update(OBJECTS, found["id"], proof_id=proof_id)
        return {**found, "proof_id": proof_id}

    def _object(self, key_or_id: str) -> Row:
        found = find_object(self._storage, key_or_id)
        if found is None:
            message = f"Asset object '{key_or_id}' not found"
            raise ValueError(message)
        return found

    def _proof_owner_did(self, found: Row, requester: str) -> str:
        asset = self._reread(ASSETS, "id", found["asset_id"])
        owner = asset["username"] or requester
        user = self._storage.one(USERS, "username = ?", owner)
        if user is None or not user["trust_did"]:
            message = (
                f"User {owner} does not have a DID and thus cannot be a "
                "proof owner"
            )
            raise ValueError(message)
        did: str = user["trust_did"]
        return did

    def _reread(self, table: Table, column: str, value: Any) -> Row:
        row = self._storage.one(table, f"{column} = ?", value)
        if row is None:
            message = f"{table.name} {value} not found"
            raise ValueError(message)
        return row


def find_object(storage: Storage, key_or_id: str) -> Row | None:
    """Find an object by its key, or by its id where that is a number."""
    try:
        number = int(key_or_id)
    except ValueError:
        return storage.one(OBJECTS, "key = ?", key_or_id)
    return storage.one(OBJECTS, "key = ? OR id = ?", key_or_id, number)
