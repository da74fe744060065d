"""What went in held against what came out, item by item. Pure.

Facts are seen from outside: at Keycloak, the platform's API, the object
storage, the databases and OpenMetadata. Of our own inbox only the state of
each item is looked at, to tell what is stuck from what is lost.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from moderate.inbox.model import FINAL_STATES, State


class Flow(StrEnum):
    """What goes in; in the order in which it is shown."""

    USERS = "users"
    OBJECTS = "objects"
    JOBS = "jobs"
    TABLES = "tables"


class Wrong(StrEnum):
    """What may be wrong with an item."""

    LOST = "lost"
    DOUBLED = "doubled"
    STUCK = "stuck"
    TOLD_WRONG = "told wrong"


@dataclass(frozen=True)
class Finding:
    """Something that is wrong.

    Attributes:
        flow: Where; ``None``: with the service as a whole.
        wrong: What.
        item: Its name, as its source calls it.
        text: How that is known.
    """

    flow: Flow | None
    wrong: Wrong
    item: str
    text: str


@dataclass(frozen=True)
class TrustFacts:
    """A user or an asset object.

    Attributes:
        flow: Which of the two.
        name: The username, or the object's key.
        states: Of its items in the inbox.
        effects: How many DIDs or proofs were made.
        unexplained: Second calls that no kill explains.
        is_held: Whether the platform has the proof; ``None``: it does not
            tell.
    """

    flow: Flow
    name: str
    states: Sequence[State]
    effects: int
    unexplained: Sequence[str] = ()
    is_held: bool | None = None

    def findings(self) -> Iterator[Finding]:
        """Say what is wrong."""
        yield from _of_items(self.flow, self.name, self.states)
        if not self.effects and not _open(self.states):
            yield self._is(Wrong.LOST, f"no effect; {_said(self.states)}")
        if self.effects > 1:
            yield self._is(Wrong.DOUBLED, f"{self.effects} effects")
        for call in self.unexplained:
            yield self._is(Wrong.DOUBLED, f"asked for again: {call}")
        if self.effects and self.is_held is False:
            text = "it was made, and the platform does not have it"
            yield self._is(Wrong.TOLD_WRONG, text)
        if self.effects and _ended_badly(self.states):
            text = f"it was made; {_said(self.states)}"
            yield self._is(Wrong.TOLD_WRONG, text)

    def _is(self, wrong: Wrong, text: str) -> Finding:
        return Finding(self.flow, wrong, self.name, text)


@dataclass(frozen=True)
class JobFacts:
    """A job of the platform, which can be done: none is posted that can't.

    Attributes:
        name: Its id.
        states: Of its items in the inbox.
        words: The states of the final words of its items.
        told: The results of each PATCH that the platform took, in order.
        held: What the platform has; ``None``: it was never told.
        reports: Keys of its reports in the object storage.
        overlaps: How often an analysis began beside another one of it.
    """

    name: str
    states: Sequence[State]
    words: Sequence[State]
    told: Sequence[Mapping[str, Any]]
    held: Mapping[str, Any] | None
    reports: Sequence[str]
    overlaps: int = 0

    def findings(self) -> Iterator[Finding]:
        """Say what is wrong."""
        yield from _of_items(Flow.JOBS, self.name, self.states)
        if any(state not in FINAL_STATES for state in self.words):
            yield self._is(Wrong.STUCK, "its final word is not told")
        elif self.held is None and not _open(self.states):
            yield self._is(Wrong.LOST, f"never told; {_said(self.states)}")
        if len(self.words) > 1:
            yield self._is(Wrong.DOUBLED, f"{len(self.words)} final words")
        if self.overlaps:
            yield self._is(Wrong.DOUBLED, "two analyses at once")
        yield from self._of_what_was_told()

    def _of_what_was_told(self) -> Iterator[Finding]:
        if any(each != self.told[0] for each in self.told):
            yield self._is(Wrong.TOLD_WRONG, f"two words: {self.told}")
        if self.held is None:
            return
        if not self.told or self.held != self.told[-1]:
            text = f"the platform has {self.held}, was told {self.told}"
            yield self._is(Wrong.TOLD_WRONG, text)
        if self.held.get("error"):
            yield self._is(Wrong.LOST, f"given up: {self.held['error']}")
        elif self.held.get("output_key") not in self.reports:
            text = f"{self.held.get('output_key')} is no report"
            yield self._is(Wrong.TOLD_WRONG, text)

    def _is(self, wrong: Wrong, text: str) -> Finding:
        return Finding(Flow.JOBS, wrong, f"job {self.name}", text)


@dataclass(frozen=True)
class Shape:
    """What a table is, as far as both sides tell.

    Attributes:
        columns: How many.
        rows: How many; ``None``: not known.
    """

    columns: int
    rows: int | None


@dataclass(frozen=True)
class TableFacts:
    """A table of a database.

    Attributes:
        name: With its database.
        should: What it is; ``None``: it was dropped.
        held: What OpenMetadata has of that name, deleted entities excepted.
    """

    name: str
    should: Shape | None
    held: Sequence[Shape]

    def findings(self) -> Iterator[Finding]:
        """Say what is wrong."""
        if self.should is None:
            if self.held:
                yield self._is(Wrong.TOLD_WRONG, "dropped, and still there")
            return
        if not self.held:
            yield self._is(Wrong.LOST, "OpenMetadata does not have it")
        if len(self.held) > 1:
            yield self._is(Wrong.DOUBLED, f"{len(self.held)} entities")
        for each in self.held:
            if each != self.should:
                text = f"is {self.should}, told {each}"
                yield self._is(Wrong.TOLD_WRONG, text)

    def _is(self, wrong: Wrong, text: str) -> Finding:
        return Finding(Flow.TABLES, wrong, self.name, text)


@dataclass(frozen=True)
class Facts:
    """Everything that is known in the end.

    Attributes:
        trust: Users and objects.
        jobs: Jobs.
        tables: Tables.
        left: What is still open or at work although all should be over.
        most_tasks: The most tasks that were in flight at the platform.
        task_limit: How many may be.
    """

    trust: Sequence[TrustFacts]
    jobs: Sequence[JobFacts]
    tables: Sequence[TableFacts]
    left: Sequence[str] = ()
    most_tasks: int = 0
    task_limit: int = 8

    @property
    def went_in(self) -> Counter[Flow]:
        """How much there was."""
        return Counter(
            {
                **Counter(each.flow for each in self.trust),
                Flow.JOBS: len(self.jobs),
                Flow.TABLES: len(self.tables),
            }
        )

    @property
    def told_again(self) -> int:
        """Same words that the platform was told twice: harmless."""
        return sum(max(0, len(each.told) - 1) for each in self.jobs)


def judge(facts: Facts) -> Sequence[Finding]:
    """Return everything that is wrong; nothing is, if all is well."""
    items: Iterable[TrustFacts | JobFacts | TableFacts] = (
        *facts.trust,
        *facts.jobs,
        *facts.tables,
    )
    found = [finding for item in items for finding in item.findings()]
    found += [
        Finding(None, Wrong.STUCK, "the service", each) for each in facts.left
    ]
    if facts.most_tasks > facts.task_limit:
        text = f"{facts.most_tasks} tasks at once, {facts.task_limit} allowed"
        found.append(Finding(None, Wrong.DOUBLED, "the platform", text))
    return found


def _of_items(
    flow: Flow, name: str, states: Sequence[State]
) -> Iterator[Finding]:
    if len(states) > 1:
        text = f"{len(states)} items: {_said(states)}"
        yield Finding(flow, Wrong.DOUBLED, name, text)
    if _open(states):
        yield Finding(flow, Wrong.STUCK, name, _said(states))


def _open(states: Sequence[State]) -> bool:
    return any(state not in FINAL_STATES for state in states)


def _ended_badly(states: Sequence[State]) -> bool:
    return any(state in FINAL_STATES - {State.DONE} for state in states)


def _said(states: Sequence[State]) -> str:
    return "its item is " + (", ".join(states) or "not there")
