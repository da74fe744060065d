"""The trust flows as a test sees them: items in, runs, the ledger's account.

Items are put into the inbox, or found by ticks; runs are carried out in this
process, and what the platform did is read from the emulator's ledger.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
from dagster import ExecuteInProcessResult, RunRequest, SensorResult

from moderate.clients.platform_models import TaskStarted
from moderate.flows.asset_proofs.job import asset_proof_request
from moderate.flows.asset_proofs.kinds import ASSET_PROOF
from moderate.flows.asset_proofs.sensor import (
    platform_api_asset_object_sensor,
)
from moderate.flows.platform_tasks.dids import USER_DID, user_did_item
from moderate.flows.platform_tasks.errands import PEER
from moderate.flows.ticks import Patience, requests, settle
from moderate.flows.user_dids.job import user_did_request
from moderate.inbox.model import State, WorkItem
from moderate.inbox.slots import note_tasks, take_slots
from moderate_tests.integration.flows.platform import Service

MAKERS = {USER_DID: user_did_request, ASSET_PROOF: asset_proof_request}
ACCOUNT = "workflows"


@dataclass(frozen=True)
class Trust:
    """Both trust flows on a service."""

    service: Service

    # In

    def add_users(self, *usernames: str) -> None:
        """Put users into the inbox, as the sensor does."""
        items = [
            user_did_item(
                {"username": name, "keycloak_id": None, "created_at": None}
            )
            for name in usernames
        ]
        inbox = self.service.inbox
        with inbox.transaction() as conn:
            inbox.record(conn, items)

    def seed(
        self, objects: int, owner: str | None = None, prefix: str = "seeded"
    ) -> list[int]:
        """Let the platform have objects; return their numbers."""
        body = {"objects": objects, "owner": owner, "key_prefix": prefix}
        answer = httpx.post(
            f"{self.service.api_url}/_emulator/seed", json=body, timeout=60
        )
        ids: list[int] = answer.raise_for_status().json()["object_ids"]
        return ids

    def tick(self) -> Sequence[RunRequest]:
        """Let the objects' sensor tick once."""
        result = self.service.evaluate(platform_api_asset_object_sensor)
        assert isinstance(result, SensorResult)
        return result.run_requests or []

    def settle(self) -> None:
        """Free what dead runs held, as the ticks of both flows do."""
        patience = Patience(timedelta(minutes=1), timedelta(minutes=1))
        settle(
            self.service.inbox, self.service.instance, list(MAKERS), patience
        )

    # Work

    def dispatch(self) -> Sequence[RunRequest]:
        """Ask for the runs of both flows, as their ticks do."""
        return requests(self.service.inbox, MAKERS)

    def work(self) -> list[ExecuteInProcessResult]:
        """Carry out one round of runs of all that is due."""
        return self.service.carry_out(self.dispatch())

    def work_until_quiet(self, rounds: int = 30) -> None:
        """Carry out rounds, and let waits pass, until nothing is open."""
        for _ in range(rounds):
            self.work()
            if not self.open_items():
                return
            self.service.let_waiting_be_due()
        raise AssertionError(self.open_items())

    # Out

    def users(self) -> Sequence[WorkItem]:
        return self.service.items(USER_DID)

    def proofs(self) -> Sequence[WorkItem]:
        return self.service.items(ASSET_PROOF)

    def user(self, username: str) -> WorkItem:
        (item,) = [each for each in self.users() if each.key == username]
        return item

    def open_items(self) -> list[WorkItem]:
        ended = (State.DONE, State.DEAD, State.CANCELLED)
        items = (*self.users(), *self.proofs())
        return [each for each in items if each.state not in ended]

    def ledger(self) -> dict[str, Any]:
        url = f"{self.service.api_url}/_emulator/ledger"
        found: dict[str, Any] = httpx.get(url, timeout=30).json()
        return found

    def calls_of(self, subject: str) -> list[str]:
        """Return the outcomes of the trust service's calls for somebody."""
        return [
            call["outcome"]
            for call in self.ledger()["trust_calls"]
            if call["subject"] == subject
        ]

    def request_did(self, username: str) -> int:
        """Ask for a DID, as a run would; return the task."""
        answer = self.service.as_user(ACCOUNT).request_did(username)
        assert isinstance(answer, TaskStarted)
        return answer.task_id

    def hold_slots(self, tasks: Sequence[int]) -> None:
        """Hold slots for tasks, as a run did that is dead."""
        with self.service.inbox.transaction() as conn:
            taken = take_slots(
                conn,
                peer=PEER,
                holder="a dead run",
                wanted=len(tasks),
                bound=8,
                life=timedelta(hours=1),
            )
            note_tasks(conn, dict(zip(taken, tasks, strict=True)))

    def slots(self) -> int:
        """Count the slots that are held."""
        with self.service.inbox.transaction() as conn:
            row = conn.execute(
                "SELECT count(*) AS n FROM peer_slot"
                " WHERE expires_at > clock_timestamp()"
            ).fetchone()
        assert row
        return int(row["n"])


def shown(result: ExecuteInProcessResult) -> dict[str, Any]:
    """Return the figures and the table that a run shows on its page."""
    (found,) = [
        event.step_output_data.metadata
        for event in result.all_events
        if event.is_successful_output
    ]
    return {name: value.value for name, value in found.items()}
