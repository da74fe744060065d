"""The worker: claims runs and has them begun by a process that is warm.

It alone talks to Postgres and Dagster's storage; ``template`` begins, stops
and reaps. What can go wrong, and who mends it:

- a run's process dies: the template tells at once, and Dagster is told;
- the template dies: its children die with it; Dagster is told of each, and
  this process ends, to be started anew by its supervisor;
- this process dies: the template and its children die with it; after
  ``SILENCE`` any other worker or intake tells Dagster;
- Postgres is away: runs go on, what ended is told once it is back;
- it is only taken for dead (it was stopped, or cut off): its row is gone, so
  its next beat fails, and it ends its runs before anything else.
"""

import contextlib
import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from types import FrameType
from uuid import uuid4

from dagster import DagsterInstance

from moderate.errors import ModerateError, TemporaryError
from moderate.fastpath import code, wire
from moderate.fastpath.endings import death, settle_lost, tell_end
from moderate.inbox.database import Address
from moderate.inbox.warm_runs import (
    CANCEL_ASKED,
    LOST_AT_ONCE,
    RUN_OFFERED,
    Listener,
    WarmRuns,
    WorkerFacts,
)

BEAT = timedelta(seconds=2)
KILL_AFTER = timedelta(seconds=45)
"""A run that was told to end and doesn't is killed after this; Dagster's run
monitoring would call it cancelled after 60 s, and leave its process."""

CODE_INTERVAL = timedelta(seconds=1)
"""Between two looks at whether the code on disk is still the code in here."""

PRUNE_INTERVAL = timedelta(hours=1)
LOAD_PATIENCE = timedelta(seconds=120)
STALE = 75
"""Exit code: the code on disk is another, start me anew (``EX_TEMPFAIL``)."""

_log = logging.getLogger(__name__)


class WorkerGoneError(ModerateError):
    """This worker can't go on; its supervisor starts another."""


@dataclass
class _Child:
    """A run that this worker has."""

    run_id: str
    told_to_end: float | None = None
    is_killed: bool = False


@dataclass(frozen=True)
class Options:
    """How a worker works.

    Attributes:
        module: The code location's module.
        slots: Runs at once.
        drain: How long runs may go on once it is told to end.
        give_sign: Called every two seconds or so while all is well.
    """

    module: str
    slots: int
    drain: timedelta
    give_sign: Callable[[], None]


class Worker:
    """Claims runs until it is told to end.

    Args:
        instance: Dagster.
        where: The inbox's database.
        options: How it works.
    """

    def __init__(
        self, instance: DagsterInstance, where: Address, options: Options
    ) -> None:
        self._instance = instance
        self._runs = WarmRuns(where)
        self._options = options
        self._facts = WorkerFacts(
            id=uuid4(),
            host=socket.gethostname(),
            pid=os.getpid(),
            image=code.image(),
            slots=options.slots,
        )
        self._code = code.fingerprint(options.module)
        self._listener = Listener(where, RUN_OFFERED, CANCEL_ASKED)
        self._children: dict[str, _Child] = {}
        self._untold: list[tuple[str, str | None]] = []
        self._is_joined = False
        self._may_claim = True
        self._drain_until: float | None = None
        self._is_stale = False
        self._next_beat = 0.0
        self._next_prune = self._next_look = time.monotonic()
        self._pids: list[tuple[str, int]] = []
        self._wake, self._waker = socket.socketpair()

    def run(self) -> int:
        """Work until told to end; return the exit code.

        Raises:
            WorkerGoneError: The template is gone, or others have given this
                worker up.
        """
        with _template(self._options.module) as (process, link):
            self._link = link
            self._watch_signals()
            self._await_ready(process)
            while not self._is_done():
                self._turn()
        self._try(lambda: self._runs.leave(self._facts.id))
        return STALE if self._is_stale else 0

    def _watch_signals(self) -> None:
        for end in (self._wake, self._waker):
            end.settimeout(0)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._told_to_end)

    def _told_to_end(self, _number: int, _frame: FrameType | None) -> None:
        if self._drain_until is None:
            drain = self._options.drain.total_seconds()
            self._drain_until = time.monotonic() + drain

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        self._link.settimeout(LOAD_PATIENCE.total_seconds())
        try:
            word = wire.receive(self._link)
        except TimeoutError:
            word = None
        self._link.settimeout(None)
        if not isinstance(word, wire.Ready):
            msg = f"the code was not loaded (exit code {process.poll()})"
            raise WorkerGoneError(msg)
        _log.info("the code was loaded in %.1f s", word.seconds)

    def _is_done(self) -> bool:
        is_ending = self._is_stale or self._drain_until is not None
        return is_ending and not self._children and not self._untold

    def _turn(self) -> None:
        """Wait for news, then do all that there is to do."""
        heard, words = self._wait()
        if words:
            self._take(self._receive())
        self._serve(heard=heard)
        self._evict()
        self._kill_stubborn()

    def _wait(self) -> tuple[bool, bool]:
        """Wait; say whether Postgres and whether the template has news."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._link, selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            if self._listener.is_connected:
                selector.register(self._listener, selectors.EVENT_READ)
            wait = max(0.0, self._next_beat - time.monotonic())
            ready = {key.fileobj for key, _ in selector.select(wait)}
        if self._wake in ready:
            self._wake.recv(wire.MAX_BYTES)
        return self._listener in ready, self._link in ready

    def _receive(self) -> wire.Word:
        word = wire.receive(self._link)
        if word is None:
            self._lose_all()
            msg = "the template is gone, and all runs with it"
            raise WorkerGoneError(msg)
        return word

    def _take(self, word: wire.Word) -> None:
        if isinstance(word, wire.Started):
            self._pids.append((word.run_id, word.pid))
        elif isinstance(word, wire.Ended):
            del self._children[word.run_id]
            self._may_claim = True
            # What ended well has told so itself.
            why = death(word.code) if word.code else None
            self._untold.append((word.run_id, why))

    def _serve(self, *, heard: bool) -> None:
        """Do what needs Postgres; all of it may be done again.

        Signs of life come first: Dagster's storage may be away alone, and
        that must not make this worker seem dead.
        """
        is_due = time.monotonic() >= self._next_beat
        is_due = is_due or not self._listener.is_connected
        if not self._try(lambda: self._give_sign(is_due=is_due)):
            self._next_beat = time.monotonic() + BEAT.total_seconds()
            return
        self._try(self._tell_ends)
        self._try(lambda: self._look(is_due=is_due, heard=heard))
        if is_due:
            self._try(self._look_after_others)

    def _give_sign(self, *, is_due: bool) -> None:
        if not self._listener.is_connected:
            self._listener.connect()
        if not self._is_joined:
            self._join()
        if is_due:
            self._beat()

    def _look(self, *, is_due: bool, heard: bool) -> None:
        """Look for runs to begin or to stop, at the latest when due."""
        said = (
            {channel for channel, _ in self._listener.heard()}
            if heard
            else set()
        )
        if is_due or CANCEL_ASKED in said:
            self._look_at_held()
        if is_due or RUN_OFFERED in said or self._may_claim:
            self._claim()
        self._note_pids()

    def _join(self) -> None:
        self._runs.join(self._facts)
        self._is_joined = True
        _log.info("worker %s is ready", self._facts.id)

    @property
    def _free(self) -> int:
        return self._options.slots - len(self._children)

    def _beat(self) -> None:
        self._next_beat = time.monotonic() + BEAT.total_seconds()
        if not self._runs.beat(self._facts.id):
            self._give_up()
        self._options.give_sign()

    def _look_after_others(self) -> None:
        """Tell Dagster of the runs of workers that are gone."""
        if settle_lost(self._runs, self._instance) == LOST_AT_ONCE:
            self._next_beat = 0.0  # there may be more; a beat comes first
        if time.monotonic() >= self._next_prune:
            self._next_prune += PRUNE_INTERVAL.total_seconds()
            self._runs.prune()

    def _give_up(self) -> None:
        """End, and all runs with this process: others may do their work.

        Raises:
            WorkerGoneError: Always.
        """
        msg = "this worker was given up by others; it ends its runs"
        raise WorkerGoneError(msg)

    def _look_at_held(self) -> None:
        """Begin what a lost answer gave us; stop what was cancelled."""
        over = {run_id for run_id, _ in self._untold}
        for run_id, is_cancelled in self._runs.held(self._facts.id).items():
            if run_id not in self._children and run_id not in over:
                self._start(run_id)
            if is_cancelled:
                self._stop(run_id)

    def _claim(self) -> None:
        self._may_claim = True  # until it has come to an answer
        if self._drain_until is None and not self._is_stale and self._free > 0:
            self._is_stale = self._has_new_code()
        if self._drain_until is None and not self._is_stale and self._free > 0:
            claimed = self._runs.claim(
                self._facts.id, image=self._facts.image, limit=self._free
            )
            for run_id in claimed:
                self._start(run_id)
        self._may_claim = False

    def _has_new_code(self) -> bool:
        if time.monotonic() < self._next_look:
            return False
        self._next_look = time.monotonic() + CODE_INTERVAL.total_seconds()
        if self._code == code.fingerprint(self._options.module):
            return False
        _log.warning("the code on disk is another: no more runs are taken")
        return True

    def _start(self, run_id: str) -> None:
        self._children[run_id] = _Child(run_id)
        self._say(wire.Start(run_id))

    def _note_pids(self) -> None:
        while self._pids:
            run_id, pid = self._pids[0]
            self._runs.note_pid(self._facts.id, run_id, pid)
            self._pids.pop(0)

    def _tell_ends(self) -> None:
        while self._untold:
            run_id, why = self._untold[0]
            ending = "success"
            if why is not None:
                ending = tell_end(self._instance, run_id, why)
            self._runs.end(self._facts.id, run_id, ending)
            self._untold.pop(0)

    def _stop(self, run_id: str) -> None:
        found = self._children.get(run_id)
        if found and found.told_to_end is None:
            found.told_to_end = time.monotonic()
            self._say(wire.Stop(run_id, signal.SIGTERM))

    def _evict(self) -> None:
        """End runs that outlast the drain: their items go to other runs."""
        if self._drain_until and time.monotonic() >= self._drain_until:
            for run_id in self._children:
                self._stop(run_id)

    def _kill_stubborn(self) -> None:
        latest = time.monotonic() - KILL_AFTER.total_seconds()
        for each in self._children.values():
            told = each.told_to_end
            if told is not None and told < latest and not each.is_killed:
                each.is_killed = True
                self._say(wire.Stop(each.run_id, signal.SIGKILL))

    def _lose_all(self) -> None:
        for run_id in self._children:
            self._untold.append((run_id, death(-signal.SIGKILL)))
        self._children.clear()
        self._try(self._tell_ends)
        self._try(lambda: self._runs.leave(self._facts.id))

    def _try(self, act: Callable[[], None]) -> bool:
        """Do something that Postgres may not be there for; say if it was."""
        try:
            act()
        except TemporaryError as error:
            _log.warning("%s", error)
            return False
        return True

    def _say(self, word: wire.Word) -> None:
        # That the template is gone, reading tells.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            wire.send(self._link, word)


@contextlib.contextmanager
def _template(
    module: str,
) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    """Start the template; it ends with the block, and its children too."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            number = theirs.fileno()
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "moderate.fastpath.template"),
                    *(str(number), str(os.getpid()), module),
                ],
                stdin=subprocess.DEVNULL,
                pass_fds=[number],
            )
        try:
            yield process, ours
        finally:
            process.kill()
            process.wait()
