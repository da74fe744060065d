"""The intake: starts what is due at once, and says who brought it.

Sensors look every 5 s at best; this is told (``NOTIFY``), sleeps until the
earliest due time, and looks by itself after each reconnect and now and then.
It shares the inbox, the claim and the fence with the sensors and with any
number of intakes, and holds nothing that is not a row: killed anywhere, the
next look of anybody goes on.

::

    killed before the commit    the broker delivers the message again
    before the acknowledgement  the same, and it is the same row
    before the dispatch         the row is due: another intake, or a sensor
    before the run exists       the batch is unbound: another intake at once,
                                or a sensor after its patience
    before the run is offered   the run's id says which run it is: launched
    after it                    nothing is left to do
"""

import logging
import select
import selectors
import socket
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta

from dagster import DagsterInstance

from moderate.errors import TemporaryError
from moderate.fastpath.endings import settle_lost
from moderate.fastpath.submitting import Submitter
from moderate.fastpath.worker import BEAT
from moderate.flows.ticks import RunRequestOf
from moderate.inbox.model import Dispatch
from moderate.inbox.store import Inbox
from moderate.inbox.warm_runs import (
    DUE,
    LOST_AT_ONCE,
    Listener,
    WarmRuns,
)

LOOK = timedelta(seconds=5)
"""How often it looks without being told, and at what can wait."""

PAUSE = timedelta(seconds=1)
"""After something that it needs could not be reached."""

REMEMBERED = 10_000
"""Batches that are known to have been submitted, at the most."""

_log = logging.getLogger(__name__)


class Intake:
    """Dispatches what is due and submits the runs, until told to end.

    Args:
        inbox: The inbox.
        instance: Dagster.
        submitter: Creates and launches runs.
        makers: For each kind, what makes the run request of a batch.
        give_sign: Called every two seconds or so while all is well.
        patient: Kinds that are dispatched now and then only: the run that
            makes such an item mostly does it itself, in the next moment.
    """

    def __init__(
        self,
        inbox: Inbox,
        instance: DagsterInstance,
        submitter: Submitter,
        makers: Mapping[str, RunRequestOf],
        give_sign: Callable[[], None],
        patient: Collection[str] = (),
    ) -> None:
        self._inbox = inbox
        self._instance = instance
        self._submitter = submitter
        self._makers = makers
        self._give_sign = give_sign
        self._prompt = [kind for kind in makers if kind not in patient]
        self._next_patient = 0.0
        self._runs = WarmRuns(inbox.where)
        self._listener = Listener(inbox.where, DUE)
        self._submitted: dict[str, None] = {}
        self._wake, self._waker = socket.socketpair()
        for end in (self._wake, self._waker):
            end.settimeout(0)
        # No lock: a signal's handler sets it, in the midst of anything.
        self._is_over = False
        self._next_look = self._next_settle = 0.0

    @property
    def is_over(self) -> bool:
        """Whether it was told to end."""
        return self._is_over

    def news(self) -> None:
        """Say that there is something to look at; from any thread."""
        try:
            self._waker.send(b"!")
        except BlockingIOError:
            return  # it has been told often enough

    def end(self) -> None:
        """Have it end; from any thread, or a signal's handler."""
        self._is_over = True
        self.news()

    def run(self) -> None:
        """Work until told to end."""
        is_told = True
        while not self.is_over:
            try:
                self._turn(is_told=is_told)
            except TemporaryError as error:
                _log.warning("%s", error)
                self._pause()
                is_told = True
            else:
                is_told = self._sleep()
        self._listener.close()

    def _sleep(self) -> bool:
        """Sleep until there is something to do; say whether it was told."""
        until = min(self._next_look, self._next_settle)
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake, selectors.EVENT_READ)
            selector.register(self._listener, selectors.EVENT_READ)
            ready = selector.select(max(0.0, until - time.monotonic()))
        if any(key.fileobj is self._wake for key, _ in ready):
            self._wake.recv(1024)
        return bool(ready)

    def _pause(self) -> None:
        with suppress(BlockingIOError):
            self._wake.recv(1024)  # old news must not cut it short
        select.select([self._wake], [], [], PAUSE.total_seconds())

    def _turn(self, *, is_told: bool) -> None:
        """Do all that there is to do."""
        if not self._listener.is_connected:
            self._listener.connect()
        if is_told:
            self._listener.heard()  # before the look, or it may be missed
        if is_told or time.monotonic() >= self._next_look:
            self._look()
        if time.monotonic() >= self._next_settle:
            self._next_settle = time.monotonic() + BEAT.total_seconds()
            if settle_lost(self._runs, self._instance) == LOST_AT_ONCE:
                self._next_settle = 0.0  # there may be more
            self._give_sign()

    def _look(self) -> None:
        """Dispatch, submit, and find out when to look again."""
        self._inbox.dispatch(self._kinds_in_turn())
        went = [
            self._submit(each) for each in self._inbox.unbound(self._makers)
        ]
        longest = LOOK if all(went) else PAUSE
        until_due = self._runs.next_due(list(self._makers)) or longest
        wait = min(longest, until_due).total_seconds()
        self._next_look = time.monotonic() + wait

    def _kinds_in_turn(self) -> Collection[str]:
        if time.monotonic() < self._next_patient:
            return self._prompt
        self._next_patient = time.monotonic() + LOOK.total_seconds()
        return list(self._makers)

    def _submit(self, dispatch: Dispatch) -> bool:
        """Submit the run of a batch; ``False``: look at it again soon."""
        if dispatch.run_key in self._submitted:
            return True
        try:
            with self._runs.submitting(dispatch.run_key) as is_ours:
                if not is_ours:
                    return False
                self._submitter.submit(self._makers[dispatch.kind](dispatch))
        except TemporaryError:
            raise  # all batches need what is away
        except Exception as error:  # noqa: BLE001
            # Whatever is wrong with this one must not hold up the others.
            _log.exception("no run for %s", dispatch.run_key, exc_info=error)
            return False
        self._submitted[dispatch.run_key] = None
        if len(self._submitted) > REMEMBERED:
            del self._submitted[next(iter(self._submitted))]
        return True


class Feeder:
    """A thread that moves messages into the inbox for as long as it may.

    Args:
        follow: Moves messages until it is told to end; raises what stops it.
        intake: Is told when there is something new.
    """

    def __init__(
        self, follow: Callable[[Callable[[], bool]], None], intake: Intake
    ) -> None:
        self._follow = follow
        self._intake = intake
        self._thread = threading.Thread(target=self._run, name="feeder")
        self.failure: Exception | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self) -> None:
        """Wait until it has ended; the intake was told to."""
        self._thread.join()

    def _run(self) -> None:
        while not self._intake.is_over:
            try:
                self._follow(lambda: self._intake.is_over)
            except TemporaryError as error:
                _log.warning("no messages are taken: %s", error)
                time.sleep(PAUSE.total_seconds())
            except Exception as error:  # noqa: BLE001  # told by whoever joins
                self.failure = error
                self._intake.end()


def run_all(intake: Intake, feeders: Sequence[Feeder]) -> None:
    """Run an intake with its feeders; all end together.

    Raises:
        Exception: What a feeder died of.
    """
    for feeder in feeders:
        feeder.start()
    try:
        intake.run()
    finally:
        intake.end()
        for feeder in feeders:
            feeder.join()
    for feeder in feeders:
        if feeder.failure:
            raise feeder.failure
