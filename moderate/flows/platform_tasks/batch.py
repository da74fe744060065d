"""Work through a batch of cheap items, each a task of the platform API.

The API is asked, answers with a task or with what is there already, and the
task is polled with growing waits. No thread is held by a task: the main
thread, where interrupts arrive, does the waiting and writes outcomes; a few
threads carry the calls. Of the API's tasks in flight all flows and runs
together hold at most a bound, counted in Postgres, and each run its share.

Twice is harmless, at any point. An item whose run died is asked for again;
the API then says that the DID or proof is there, or makes a task that does
nothing if the first one was quicker. A slot that a dead run held is freed by
whoever sees its task's end, or when its time has passed. An outcome is
recorded the moment that it is known, so what was done before a kill is not
asked for again.

An API that is away is no fault of the items: a call that fails is followed by
one that must work, and if that fails too the run pauses, looks again from
time to time, and nothing is counted. A task that the API died with never
ends: where the API was away in between it is asked for again; elsewhere its
slot is held until the API itself would have given it up.
"""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    ThreadPoolExecutor,
    wait,
)
from datetime import timedelta
from typing import Any

from moderate.clients.platform_api import PlatformApi
from moderate.clients.platform_models import Task, TaskStarted, TaskState
from moderate.errors import ModerateError, PermanentError, TemporaryError
from moderate.flows.platform_tasks.calls import CONFLICT, Calls, status_of
from moderate.flows.platform_tasks.dids import USER_DID, NoItem
from moderate.flows.platform_tasks.errands import (
    PEER,
    Bounds,
    Errand,
    Gone,
    There,
)
from moderate.flows.platform_tasks.meanings import (
    AskAgain,
    NeedsDid,
    meaning_of,
)
from moderate.flows.platform_tasks.report import Report, What
from moderate.flows.platform_tasks.sight import ApiAwayError, Sight
from moderate.flows.platform_tasks.slots import Slots
from moderate.flows.platform_tasks.trips import Trip
from moderate.flows.work import keep_trying
from moderate.inbox.admin import find_item
from moderate.inbox.database import transaction
from moderate.inbox.lease import Ended, Lease
from moderate.inbox.model import Json, NewItem, State, WorkItem
from moderate.inbox.recording import insert_items
from moderate.redaction import Redactor

CALLERS = 4
"""Threads that carry calls: one that is slow must not stop the others."""

LONGEST_NAP = 1.0

MOST_ASKS = 3
"""Times that one attempt asks, when the API's answer says to ask again."""

CALL_MARGIN = timedelta(seconds=30)
"""What a slot outlives the wait for its task: the calls take time too."""

_log = logging.getLogger(__name__)


class TaskBatch:
    """The items of a bound batch on their way through the API.

    Args:
        lease: The batch; nothing of it has begun.
        errand: What is asked for.
        api: The platform API.
        bounds: How far to go.
        beat: Called often; raises to end the work.
        redactor: Cleans what is recorded.
    """

    def __init__(
        self,
        lease: Lease,
        errand: Errand,
        api: PlatformApi,
        bounds: Bounds,
        *,
        beat: Callable[[], None],
        redactor: Redactor,
    ) -> None:
        self.report = Report()
        self._lease = lease
        self._errand = errand
        self._api = api
        self._bounds = bounds
        self._beat = beat
        self._redactor = redactor
        self._waiting = deque(lease.items)
        self._trips: list[Trip] = []
        self._calls = Calls(api, errand, redactor)
        self._under_way: dict[Future[object], Trip] = {}
        self._looks: dict[Future[bool], int] = {}
        self._asks: Counter[int] = Counter()
        self._sight = Sight()
        self._slots = Slots(
            lease, PEER, bounds.in_flight, bounds.timeout + CALL_MARGIN
        )
        self._pool = ThreadPoolExecutor(CALLERS, "platform-api")

    def work(self) -> None:
        """Bring every item to its end, or to its next attempt.

        Raises:
            ApiAwayError: The API stayed away; items are still held.
            LeaseLostError: The batch was taken from this run.
            Exception: What ``beat`` raised.
        """
        try:
            while self._waiting or self._trips:
                self._beat()
                self._start()
                self._look_at_others()
                self._send()
                self._receive()
            self._slots.exchange()
        finally:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def give_back(self, delay: timedelta) -> None:
        """Return what is held, uncounted.

        Those whose task may be at work are left alone for ``delay``; their
        slots pass with their time.
        """
        called = self._called()
        under_way = [t for t in self._trips if t.task_id or t in called]
        self._lease.release([trip.item for trip in under_way], delay=delay)
        self._lease.release()
        for trip in self._trips:
            if trip not in under_way:
                self._slots.give(trip.slot)
            self.report.add(trip.item, What.BACK, trip.seconds)
        for item in self._waiting:
            self.report.add(item, What.BACK, 0)
        self._slots.exchange()

    # Slots, and what they are for

    def _start(self) -> None:
        """Begin as many items as there are slots for."""
        slots = self._slots.exchange(self._wanted())
        if not slots:
            return
        items = [self._waiting.popleft() for _ in slots]
        try:
            keep_trying(self._lease.begin)(items)
        except BaseException:
            self._slots.give(*slots)
            self._waiting.extendleft(reversed(items))
            raise
        now = time.monotonic()
        self._trips += [
            Trip(item, slot, begun=now, due=now)
            for item, slot in zip(items, slots, strict=True)
        ]

    def _wanted(self) -> int:
        now = time.monotonic()
        if now < max(self._slots.next_try, self._sight.quiet_until):
            return 0
        if self._sight.is_lost:
            return 0 if self._trips else min(1, len(self._waiting))
        room = self._bounds.in_flight - len(self._trips)
        return min(room, len(self._waiting))

    # Calls

    def _send(self) -> None:
        """Make the calls that are due; one at a time while the API is away."""
        now = time.monotonic()
        called = self._called()
        due = [t for t in self._trips if t.due <= now and t not in called]
        if self._sight.is_lost:
            may = now >= self._sight.quiet_until and not self._under_way
            due = due[:1] if may else []
        for trip in due:
            self._under_way[self._pool.submit(self._call, trip)] = trip

    def _called(self) -> set[Trip]:
        """Return the items of which a call is under way."""
        return set(self._under_way.values())

    def _call(self, trip: Trip) -> object:
        """Make the call that is next for an item; in another thread."""
        if trip.missing:
            return self._calls.find(trip.missing.owner)
        if trip.task_id is None:
            return self._calls.ask(trip.item)
        return self._calls.poll(trip.task_id)

    def _look_at_others(self) -> None:
        """See whether tasks have ended whose runs may be dead."""
        mine = {trip.slot for trip in self._trips}
        held, self._slots.long_held = self._slots.long_held, {}
        for slot, task_id in held.items():
            if slot not in mine and not self._sight.is_lost:
                look = self._pool.submit(self._calls.has_ended, task_id)
                self._looks[look] = slot

    def _receive(self) -> None:
        """Wait until there is something to do, and hear what calls say."""
        calls: list[Future[Any]] = [*self._under_way, *self._looks]
        if not calls:
            time.sleep(self._nap())
            return
        ended, _ = wait(
            calls, timeout=self._nap(), return_when=FIRST_COMPLETED
        )
        for call in ended & self._under_way.keys():
            self._hear(self._under_way.pop(call), call)
        for look in ended & self._looks.keys():
            slot = self._looks.pop(look)
            if look.result():
                self._slots.give(slot)

    def _nap(self) -> float:
        now = time.monotonic()
        called = self._called()
        times = [t.due for t in self._trips if t not in called]
        if self._waiting and not self._under_way:
            times.append(self._slots.next_try)
        if self._sight.is_lost:
            times = [max(at, self._sight.quiet_until) for at in times]
        soonest = min(times, default=now + LONGEST_NAP)
        return min(max(0.01, soonest - now), LONGEST_NAP)

    # Answers

    def _hear(self, trip: Trip, call: Future[object]) -> None:
        try:
            answer = call.result()
        except ApiAwayError as error:
            self._lost_sight(trip, error)
            return
        except Exception as error:  # noqa: BLE001  # recorded on the item
            self._sight.find()
            if status_of(error) == CONFLICT:
                self._again(trip, error)
            else:
                self._failed(trip, error)
            return
        self._sight.find()
        self._take(trip, answer)

    def _take(self, trip: Trip, answer: object) -> None:
        match answer:
            case TaskStarted():
                trip.has_task(answer.task_id)
                self._slots.note(trip.slot, answer.task_id)
            case There():
                self._done(trip, What.THERE, answer.outcome)
            case Gone():
                self._done(trip, What.GONE, {"gone": answer.why}, answer.why)
            case Task():
                self._look_at(trip, answer)
            case NewItem() | NoItem():
                self._missing_found(trip, answer)
            case _:
                msg = f"the platform API has forgotten task {trip.task_id}"
                self._again(trip, TemporaryError(msg))

    def _look_at(self, trip: Trip, task: Task) -> None:
        match task.state:
            case TaskState.SUCCEEDED:
                self._done(trip, What.DONE, self._errand.outcome(task))
            case TaskState.FAILED:
                self._task_failed(trip, task.error or "")
            case TaskState.RUNNING:
                late = time.monotonic() - trip.posted
                if late > self._bounds.timeout.total_seconds():
                    self._overdue(trip, late)
                trip.look_later()

    def _task_failed(self, trip: Trip, error: str) -> None:
        meaning = meaning_of(error)
        failure = TemporaryError(meaning.reason)
        match meaning:
            case AskAgain():
                self._again(trip, failure)
            case NeedsDid() if self._errand.owners:
                self._await_did(trip, meaning)
            case _:
                self._failed(trip, failure)

    def _await_did(self, trip: Trip, missing: NeedsDid) -> None:
        """Let the item wait for the item of its owner's DID."""
        target = keep_trying(self._find)(USER_DID, missing.owner)
        if target is None:
            trip.missing = missing  # and next it is asked why
        elif target.state is State.DONE:
            # It has just got one; or else the platform has lost it.
            self._again(trip, TemporaryError(missing.reason))
        else:
            self._wait_for(trip, missing)

    def _wait_for(self, trip: Trip, missing: NeedsDid) -> None:
        ended = keep_trying(self._lease.wait_for)(
            trip.item, USER_DID, missing.owner, missing.reason
        )
        reason = ended.item.last_error or "" if ended else missing.reason
        what = What.DEAD if ended else What.WAITING
        self._leave(trip, what, reason)

    def _missing_found(self, trip: Trip, found: NewItem | NoItem) -> None:
        """Wait for an item that was missing, or say why there is none."""
        missing, trip.missing = trip.missing, None
        if missing is None:
            return
        if isinstance(found, NewItem):
            # The users' sensor has not come by yet: the same item as its own.
            keep_trying(self._record)(found)
            self._wait_for(trip, missing)
            return
        msg = f"{missing.reason}: {found.why}"
        kind = PermanentError if found.is_by_setting else TemporaryError
        self._failed(trip, kind(msg))

    def _record(self, item: NewItem) -> None:
        with transaction(self._lease.where) as conn:
            insert_items(conn, [item])

    def _find(self, kind: str, key: str) -> WorkItem | None:
        with transaction(self._lease.where) as conn:
            return find_item(conn, kind, key)

    def _overdue(self, trip: Trip, late: float) -> None:
        """Give up a task that does not end.

        If the API was away since it was posted, it has died with the API.
        Elsewhere it may hold one of the API's connections until the API
        itself gives it up: so long its slot is held, and nobody asks again.
        """
        msg = f"task {trip.task_id} has not ended after {late:.0f} s"
        if self._sight.away_last > trip.posted:
            self._again(trip, TemporaryError(msg))
            return
        rest = max(self._bounds.limit - timedelta(seconds=late), timedelta())
        self._slots.keep(trip.slot, rest)
        self._failed(trip, TemporaryError(msg, delay=rest), keep=True)

    def _lost_sight(self, trip: Trip, error: ApiAwayError) -> None:
        self._sight.lose(error)
        trip.due = self._sight.quiet_until
        if trip.task_id is None:
            # Its slot would pass before the API is back.
            self._back_in_line(trip)

    def _back_in_line(self, trip: Trip) -> None:
        self._trips.remove(trip)
        self._slots.give(trip.slot)
        self._waiting.appendleft(trip.item)

    def _again(self, trip: Trip, error: Exception) -> None:
        """Ask once more in this attempt, unless that was done before."""
        self._asks[trip.item.id] += 1
        if self._asks[trip.item.id] < MOST_ASKS:
            self._back_in_line(trip)
        else:
            self._failed(trip, error)

    def _done(
        self, trip: Trip, what: What, outcome: Json, note: str = ""
    ) -> None:
        keep_trying(self._lease.done)(trip.item, outcome)
        self._leave(trip, what, note)

    def _failed(
        self, trip: Trip, error: Exception, *, keep: bool = False
    ) -> None:
        reason = self._said(error)
        after = keep_trying(self._lease.failed)(
            trip.item, error, reason=reason
        )
        what = What.DEAD if isinstance(after, Ended) else What.AGAIN
        self._leave(trip, what, reason, keep=keep)
        if not isinstance(error, ModerateError):
            _log.error("%s", self._redactor.redact_exception(error))

    def _leave(
        self, trip: Trip, what: What, note: str, *, keep: bool = False
    ) -> None:
        self._trips.remove(trip)
        if not keep:
            self._slots.give(trip.slot)
        self.report.add(trip.item, what, trip.seconds, note)

    def _said(self, error: Exception) -> str:
        said = str(error)
        if not isinstance(error, ModerateError):
            said = f"{type(error).__name__}: {said}"
        return self._redactor.redact(said)
