"""The process that children are copied from: code loaded, and nothing else.

No thread and no connection: a child that is copied from it shares neither.
It begins and reaps children and knows nothing of Postgres or of Dagster's
storage; the worker tells it what to do. When the worker is gone, so is it,
and then its children.

Run as ``python -m moderate.fastpath.template LINK PARENT MODULE``.
"""

import contextlib
import gc
import logging
import os
import selectors
import signal
import socket
import sys
import time
from types import FrameType
from typing import NoReturn

from moderate.fastpath import child, kernel, wire

HELD_SIGNALS = (signal.SIGTERM, signal.SIGINT)
"""Blocked here, as the worker alone decides; a child takes them once it can
end well, and one that was sent before is not lost."""


class Template:
    """Begins, stops and reaps children.

    Args:
        link: To the worker.
    """

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._pids: dict[str, int] = {}
        self._selector = selectors.DefaultSelector()
        self._wake, self._waker = socket.socketpair()
        self._pid = os.getpid()

    def serve(self) -> str | None:
        """Work until the worker is gone.

        Returns:
            In a child: the run that it is for. In the template: ``None``.
        """
        self._watch_children()
        self._selector.register(self._link, selectors.EVENT_READ)
        self._selector.register(self._wake, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in self._selector.select()}
            if self._wake in ready:
                self._wake.recv(wire.MAX_BYTES)
                self._reap()
            if self._link in ready:
                word = wire.receive(self._link)
                if word is None:
                    return None
                run_id = self._obey(word)
                if run_id is not None:
                    return run_id

    def _watch_children(self) -> None:
        for end in (self._wake, self._waker):
            end.settimeout(0)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _notice)
        signal.pthread_sigmask(signal.SIG_BLOCK, HELD_SIGNALS)

    def _obey(self, word: wire.Word) -> str | None:
        """Do what the worker wants; in a child, return its run."""
        if isinstance(word, wire.Start):
            return self._start(word.run_id)
        if isinstance(word, wire.Stop) and word.run_id in self._pids:
            # Not yet reaped, so its number is nobody else's.
            os.kill(self._pids[word.run_id], word.signal)
        return None

    def _start(self, run_id: str) -> str | None:
        try:
            pid = os.fork()
        except OSError:
            # No memory is left, or no number: other runs must go on.
            wire.send(self._link, wire.Ended(run_id, os.EX_OSERR))
            return None
        if pid == 0:
            self._become_child()
            return run_id
        self._pids[run_id] = pid
        wire.send(self._link, wire.Started(run_id, pid))
        return None

    def _become_child(self) -> None:
        os.setsid()
        kernel.die_with(self._pid)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        for end in (self._link, self._wake, self._waker):
            end.close()

    def _reap(self) -> None:
        for run_id, pid in list(self._pids.items()):
            flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
            if os.waitid(os.P_PID, pid, flags) is None:
                continue
            # What it left in its session goes first, while the number is its
            # own; an analysis has a session of its own, and stays.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            del self._pids[run_id]
            code = os.waitstatus_to_exitcode(status)
            wire.send(self._link, wire.Ended(run_id, code))


def _notice(_number: int, _frame: FrameType | None) -> None:
    """Nothing: the wake-up socket has it."""


def main(link_number: int, parent: int, module: str) -> None:
    """Load the code, then serve; in a child, execute its run."""
    kernel.die_with(parent)
    link = socket.socket(fileno=link_number)
    begun = time.monotonic()
    instance = child.preload(module)
    if kernel.threads() != 1:
        sys.exit("the code starts threads when it is loaded: not forked")
    if kernel.sockets() != 1:
        sys.exit("the code connects when it is loaded: not forked")
    # What is there by now is never collected: its pages stay shared.
    gc.collect()
    gc.freeze()
    wire.send(link, wire.Ready(time.monotonic() - begun))
    run_id = Template(link).serve()
    if run_id is not None:
        _leave(child.execute(instance, run_id, HELD_SIGNALS))


def _leave(code: int) -> NoReturn:
    """End at once, without taking apart what is shared with the template.

    To do so would copy all of it, page by page, which takes longer than most
    runs; the kernel closes what is open.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
