"""What went in held against what came out: the promises, as a balance."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

from botocore.exceptions import ClientError

from moderate.inbox.model import FINAL_STATES, State
from moderate_tests.e2e.live import PATIENCE_SECONDS, Live, Row
from moderate_tests.faults import processes
from moderate_tests.faults.workload import Evidence


@dataclass(frozen=True)
class Balance:
    """The account of some jobs; every list but ``repeats`` must be empty.

    Attributes:
        jobs: How many jobs were posted.
        lost: Jobs without an item, without an end, or without their report.
        duplicates: Jobs with two items, two words of one end, or two
            analyses at once.
        stuck: What is still open although everything has settled, and
            processes that nobody owns.
        told_wrong: Jobs that were told two different words, or another one
            than the inbox holds.
        repeats: Identical words that were told again: harmless.
    """

    jobs: int
    lost: tuple[str, ...] = ()
    duplicates: tuple[str, ...] = ()
    stuck: tuple[str, ...] = ()
    told_wrong: tuple[str, ...] = ()
    repeats: int = 0

    @property
    def is_even(self) -> bool:
        """Whether every promise was kept."""
        return not (
            self.lost or self.duplicates or self.stuck or self.told_wrong
        )

    def plus(self, other: Self) -> "Balance":
        """Add two accounts."""
        return Balance(
            **{
                each.name: getattr(self, each.name) + getattr(other, each.name)
                for each in fields(self)
            }
        )

    def __str__(self) -> str:
        return (
            f"lost {len(self.lost)}, duplicates {len(self.duplicates)},"
            f" stuck {len(self.stuck)}, told wrong {len(self.told_wrong)}"
        )


def assert_nothing_lost(live: Live, jobs: Sequence[int]) -> Balance:
    """Wait until all is over, and hold the promises against it.

    Args:
        live: The service.
        jobs: All jobs that were posted.
    """
    wait_until_over(live, jobs)
    found = balance(live, jobs)
    assert found.is_even, f"{found!r}\n{live.explain()}"
    return found


def wait_until_over(
    live: Live, jobs: Sequence[int], within: float = PATIENCE_SECONDS
) -> None:
    """Wait until nothing is left to be done, and nobody is at work."""
    live.until_settled(jobs, within)
    live.until(lambda: not _processes(live), "no process is left", within)


def balance(live: Live, jobs: Sequence[int]) -> Balance:
    """Draw up the account of some jobs, and of all processes."""
    book = _Book(live)
    account = Balance(0, stuck=tuple(_stuck(live)))
    for job in jobs:
        account = account.plus(book.account(job))
    return account


class _Book:
    """What the platform, the inbox and the storage say, read once."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._items = live.items()
        self._patches: Mapping[str, Any] = live.ledger()["job_patches"]
        self._evidence = Evidence(live.stack.root)

    def account(self, job: int) -> Balance:
        """Draw up the account of a job."""
        items = self._of_job(job)
        if not items:
            return Balance(1, lost=(f"job {job}: no item",))
        words = self._words(items[0])
        told = self._told(job)
        return Balance(
            1,
            lost=tuple(self._lost(job, items[0], words)),
            duplicates=tuple(self._duplicates(job, items, words)),
            told_wrong=tuple(self._told_wrong(job, words, told)),
            repeats=max(0, len(told) - 1),
        )

    def _of_job(self, job: int) -> list[Row]:
        return [
            each
            for each in self._items
            if each["kind"] == "matrix_profile" and each["key"] == str(job)
        ]

    def _words(self, item: Row) -> list[Row]:
        return [
            each
            for each in self._items
            if each["kind"] == "platform_job_result"
            and each["payload"]["item_id"] == item["id"]
        ]

    def _told(self, job: int) -> list[Mapping[str, Any]]:
        return [
            each["body"]["results"]
            for each in self._patches.get(str(job), [])
            if each["status"] == 200
        ]

    def _lost(
        self, job: int, item: Row, words: Sequence[Row]
    ) -> Iterable[str]:
        state = State(item["state"])
        if state not in FINAL_STATES:
            yield f"job {job}: its item is {state}"
        if state is State.DEAD and not item["last_error"]:
            yield f"job {job}: dead without a reason"
        if [State(word["state"]) for word in words] != [State.DONE]:
            yield f"job {job}: its words are {words}"
        if state is State.DONE and not self._has_report(item):
            yield f"job {job}: no report {item['outcome']}"

    def _has_report(self, item: Row) -> bool:
        try:
            report = self._live.output(item["outcome"]["output_key"])
        except ClientError:
            return False
        return b"<html" in report

    def _duplicates(
        self, job: int, items: Sequence[Row], words: Sequence[Row]
    ) -> Iterable[str]:
        if len(items) > 1:
            yield f"job {job}: {len(items)} items"
        ends = Counter(word["key"] for word in words)
        if any(count > 1 for count in ends.values()):
            yield f"job {job}: words {ends}"
        if overlaps := self._evidence.overlaps(job):
            yield f"job {job}: {overlaps} analyses beside another one"

    def _told_wrong(
        self,
        job: int,
        words: Sequence[Row],
        told: Sequence[Mapping[str, Any]],
    ) -> Iterable[str]:
        stored = [word["payload"]["results"] for word in words]
        if any(each not in stored for each in told):
            yield f"job {job}: told {told}, stored {stored}"
        seen = self._live.job(job)
        if not told or seen.finalised_at is None:
            yield f"job {job}: the platform was never told"
        elif any(each != told[0] for each in told):
            yield f"job {job}: told different words {told}"
        elif seen.results != told[0]:
            yield f"job {job}: told {told[0]}, holds {seen.results}"


def _stuck(live: Live) -> Iterable[str]:
    """Say what is open or alive although nothing is left to be done."""
    yield from (f"open batch {each}" for each in live.open_batches())
    yield from (
        f"{each['kind']} {each['key']} is {each['state']}"
        for each in live.items()
        if State(each["state"]) not in FINAL_STATES
    )
    yield from _processes(live)


def _processes(live: Live) -> list[str]:
    """Name the processes of runs and analyses."""
    root = live.stack.root
    ours = processes.standing(live)
    return [
        *(f"run {each}" for each in processes.runs(root, ours)),
        *(f"supervisor {each}" for each in processes.supervisors(root)),
        *(f"analysis {each}" for each in processes.analyses(root)),
    ]
