"""Gathers the facts in the end, from outside."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg

from moderate.clients.platform_api import PlatformApi
from moderate.clients.platform_models import AssetObject
from moderate.inbox.model import State
from moderate.local.realm import API_ACCOUNT
from moderate.local.services.postgres import DAGSTER_DATABASE
from moderate.local.services.s3 import OUTPUTS_BUCKET
from moderate_tests.faults import processes
from moderate_tests.faults.trust_load import HARMLESS
from moderate_tests.faults.workload import Evidence
from moderate_tests.soak.figures import Success
from moderate_tests.soak.ledger import (
    Facts,
    Flow,
    JobFacts,
    TrustFacts,
)
from moderate_tests.soak.load import admin
from moderate_tests.soak.stage import Stage
from moderate_tests.soak.tables import Tables

PAGE = 100
OPEN_RUNS = """SELECT run_id, pipeline_name, status FROM runs
 WHERE status NOT IN ('SUCCESS', 'FAILURE', 'CANCELED')
   AND create_timestamp < to_timestamp(%s)::timestamp"""


@dataclass(frozen=True)
class Outside:
    """Everything that can be seen of a stage from outside.

    Attributes:
        stage: What runs.
        tables: Its databases.
    """

    stage: Stage
    tables: Tables

    def facts(self, load_ended: float) -> Facts:
        """Return what came of all that is there.

        Args:
            load_ended: Seconds since the epoch; runs that began before have
                to be over.
        """
        live = self.stage.live
        ledger = live.ledger()
        items = _Items(live.items())
        return Facts(
            trust=[
                *self._users(ledger, items),
                *self._objects(ledger, items),
            ],
            jobs=list(self._jobs(ledger, items)),
            tables=self.tables.facts(),
            left=list(self._left(load_ended)),
            most_tasks=ledger["max_tasks_in_flight"],
        )

    def successes(self, began: float) -> Sequence[Success]:
        """Return when users, objects and jobs came to their end.

        Args:
            began: When the load began, in seconds since the epoch.
        """
        calls = self._made(self.stage.live.ledger())
        found: list[Success] = []

        def note(flow: Flow, begin: float, end: float) -> None:
            found.append(Success(flow, end - began, end - max(begin, began)))

        for name, created in self._usernames().items():
            for at in calls["did"].get(name, []):
                note(Flow.USERS, created, at)
        for each in self._all_objects():
            for at in calls["proof"].get(each.key, []):
                note(Flow.OBJECTS, each.created_at.timestamp(), at)
        for number in self._job_ids():
            job = self.stage.live.job(number)
            if job.finalised_at:
                note(
                    Flow.JOBS,
                    job.created_at.timestamp(),
                    job.finalised_at.timestamp(),
                )
        return found

    def _users(
        self, ledger: Mapping[str, Any], items: "_Items"
    ) -> Iterator[TrustFacts]:
        made, second = self._made(ledger)["did"], _unexplained(ledger)
        for name in self._usernames():
            yield TrustFacts(
                flow=Flow.USERS,
                name=name,
                states=items.states("user_did", name),
                effects=len(made.get(name, [])),
                unexplained=second["did", name],
            )

    def _objects(
        self, ledger: Mapping[str, Any], items: "_Items"
    ) -> Iterator[TrustFacts]:
        made, second = self._made(ledger)["proof"], _unexplained(ledger)
        for each in self._all_objects():
            yield TrustFacts(
                flow=Flow.OBJECTS,
                name=each.key,
                states=items.states("asset_proof", str(each.id)),
                effects=len(made.get(each.key, [])),
                unexplained=second["proof", each.key],
                is_held=each.proof_id is not None,
            )

    def _jobs(
        self, ledger: Mapping[str, Any], items: "_Items"
    ) -> Iterator[JobFacts]:
        reports = self._reports()
        evidence = Evidence(self.stage.stack.root)
        for number in self._job_ids():
            held = self.stage.live.job(number)
            patches = ledger["job_patches"].get(str(number), [])
            yield JobFacts(
                name=str(number),
                states=items.states("matrix_profile", str(number)),
                words=items.words(number),
                told=[
                    each["body"]["results"]
                    for each in patches
                    if each["status"] == 200
                ],
                held=held.results if held.finalised_at else None,
                reports=reports.get(number, []),
                overlaps=evidence.overlaps(number),
            )

    def _left(self, load_ended: float) -> Iterator[str]:
        stack = self.stage.stack
        for batch in self.stage.live.open_batches():
            yield f"open batch {batch}"
        for kind, found in (
            ("analysis", processes.analyses(stack.root)),
            ("supervisor", processes.supervisors(stack.root)),
        ):
            for process in found:
                yield f"{kind} {process}"
        url = stack.postgres.url(DAGSTER_DATABASE)
        with psycopg.connect(url, connect_timeout=5) as conn:
            for row in conn.execute(OPEN_RUNS, [load_ended]).fetchall():
                yield "run {}: {} is {}".format(*row)

    def _usernames(self) -> Mapping[str, float]:
        """Return when each user was made, in seconds since the epoch."""
        found = admin(self.stage.stack).get_users(
            {"briefRepresentation": "true"}
        )
        return {
            str(user["username"]): user["createdTimestamp"] / 1000
            for user in found
        }

    def _all_objects(self) -> Sequence[AssetObject]:
        """Return every object that there is, whoever has it."""
        stack = self.stage.stack
        found: list[AssetObject] = []
        with PlatformApi(
            stack.platform_api.url, API_ACCOUNT, stack.password(API_ACCOUNT)
        ) as api:
            while True:
                last = found[-1].id if found else 0
                page = api._list_objects([["id", "gt", last]], PAGE)
                found += page
                if len(page) < PAGE:
                    return found

    def _job_ids(self) -> range:
        """Return the ids of all jobs: the platform counts from one."""
        return range(1, self.stage.live.user.count_jobs() + 1)

    def _reports(self) -> Mapping[int, list[str]]:
        """Return the keys of reports that are there, by job."""
        found: dict[int, list[str]] = defaultdict(list)
        pages = self.stage.live.s3.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=OUTPUTS_BUCKET):
            for each in page.get("Contents", []):
                key, size = each["Key"], each["Size"]
                if key.endswith(".html") and size > 0:
                    found[int(key.split("-")[1])].append(key)
        return found

    @staticmethod
    def _made(
        ledger: Mapping[str, Any],
    ) -> Mapping[str, Mapping[str, list[float]]]:
        """Return when DIDs and proofs were made, by what they are for."""
        found: dict[str, dict[str, list[float]]] = {"did": {}, "proof": {}}
        for call in ledger["trust_calls"]:
            if call["outcome"] == "succeeded":
                at = _seconds(call["finished_at"])
                found[call["kind"]].setdefault(call["subject"], []).append(at)
        return found


class _Items:
    """The states of the inbox's items, by kind and key."""

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._states: dict[tuple[str, str], list[State]] = defaultdict(list)
        self._words: dict[int, list[State]] = defaultdict(list)
        for row in rows:
            state = State(row["state"])
            self._states[row["kind"], row["key"]].append(state)
            if row["kind"] == "platform_job_result":
                job = row["payload"]["results"]["workflow_job_id"]
                self._words[job].append(state)

    def states(self, kind: str, key: str) -> Sequence[State]:
        return self._states.get((kind, key), [])

    def words(self, job: int) -> Sequence[State]:
        return self._words.get(job, [])


def _unexplained(
    ledger: Mapping[str, Any],
) -> Mapping[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for call in ledger["second_calls"]:
        if call["why"] not in HARMLESS:
            found[call["kind"], call["subject"]].append(call["why"])
    return found


def _seconds(text: str) -> float:
    """Read a time of the platform, which is UTC and does not say so."""
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
