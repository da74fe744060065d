"""A pod's log, as long as there is one: followed, bounded, kept.

A pod's log goes with the pod, and others may remove that. So whoever waits
for an analysis follows its log too, keeps its head and tail, and passes it
on, up to a bound. A stream that breaks is taken up again where it broke, by
the time that stands before each line.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from threading import Event, Thread

from moderate.analyses.kubernetes_api import Cluster, Query
from moderate.analyses.kubernetes_spec import CONTAINER
from moderate.analyses.kubernetes_watch import Stream
from moderate.analyses.launcher import UnreachableError
from moderate.errors import ModerateError

HEAD_SHARE = 4
"""One part of so many is the head; the tail matters more."""

NOTE_BYTES = 100
SILENCE_SECONDS = 30.0
PAUSE_SECONDS = 1.0
CHUNK_BYTES = 2**16

LONGEST_LINE = 2**16
"""Bytes of one line that are followed; the stored log has them all."""

Sink = Callable[[bytes], None]

_LOG = logging.getLogger(__name__)


class Excerpt:
    """The head and the tail of what is added.

    Args:
        max_bytes: The most that is kept.
    """

    def __init__(self, max_bytes: int) -> None:
        self._head_bytes = max_bytes // HEAD_SHARE
        self._tail_bytes = max_bytes - self._head_bytes
        self._head = b""
        self._tail = bytearray()
        self.size = 0

    def add(self, data: bytes) -> None:
        """Add what was read next."""
        self.size += len(data)
        room = self._head_bytes - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        # Not at each line: it moves all that is kept.
        if len(self._tail) > 2 * self._tail_bytes:
            del self._tail[: -self._tail_bytes]

    def text(self, max_bytes: int) -> bytes:
        """Return it all, or its head and tail with a note between."""
        kept = self._head + bytes(self._tail)
        if self.size == len(kept) and self.size <= max_bytes:
            return kept
        room = max_bytes - NOTE_BYTES
        if room <= 0:
            return kept[len(kept) - max(0, min(max_bytes, len(kept))) :]
        head = self._head[: room // HEAD_SHARE]
        tail = kept[len(head) :][-(room - len(head)) :]
        left_out = self.size - len(head) - len(tail)
        note = f"\n[... {left_out} bytes are left out here ...]\n"
        return head + note.encode() + tail


def read_log(cluster: Cluster, pod: str, excerpt: Excerpt) -> None:
    """Add a pod's whole log, as far as the cluster has it.

    Raises:
        BadRequestError: There is none yet, or none any more.
        NotFoundError: The pod is gone.
        UnreachableError: It can't be read now.
        RefusedError: We may not read it.
    """
    query = {"container": CONTAINER}
    path = cluster.log_path(pod)
    with cluster.stream(path, query, SILENCE_SECONDS) as answer:
        while data := answer.read(CHUNK_BYTES):
            excerpt.add(data)


class LogFollower:
    """Follows one pod's log until told that nothing more comes.

    Args:
        cluster: Where the pod is.
        pod: The pod; its container has begun.
        excerpt: What keeps the log.
        sink: Gets each line as it comes.
    """

    def __init__(
        self, cluster: Cluster, pod: str, excerpt: Excerpt, sink: Sink
    ) -> None:
        self.pod = pod
        self._cluster = cluster
        self._excerpt = excerpt
        self._sink = sink
        self._seen: tuple[datetime, int] | None = None
        self._since = ""
        self._times_seen = 0
        self._is_ending = Event()
        self._is_closed = False
        self._stream = Stream(LONGEST_LINE)
        self._thread = Thread(target=self._run, name=f"log-{pod}", daemon=True)
        self._thread.start()

    def finish(self, seconds: float) -> None:
        """Wait until the last line was read, but not longer than that."""
        self._is_ending.set()
        self._thread.join(seconds)
        self.close()

    def close(self) -> None:
        """Stop following; the thread ends soon."""
        self._is_closed = True
        self._is_ending.set()
        self._stream.cut()

    def _run(self) -> None:
        while not self._is_closed:
            # The look that begins after the end has come sees all.
            is_last = self._is_ending.is_set()
            try:
                self._follow()
            except ModerateError as error:
                _LOG.debug("the log broke off: %s", error)
            if is_last:
                return
            self._is_ending.wait(PAUSE_SECONDS)

    def _follow(self) -> None:
        query: Query = {
            "container": CONTAINER,
            "follow": not self._is_ending.is_set(),
            "timestamps": True,
            **({"sinceTime": self._since} if self._since else {}),
        }
        # Lines of the second that it goes on from come once more.
        again = self._times_seen
        path = self._cluster.log_path(self.pod)
        with self._cluster.stream(path, query, SILENCE_SECONDS) as answer:
            for line in self._stream.lines(answer):
                again = self._take(line, again)

    def _take(self, line: bytes, again: int) -> int:
        """Pass a line on, unless it was; return how many may yet be."""
        stamp, _, text = line.partition(b" ")
        try:
            when = time_key(stamp.decode())
        except ValueError as error:
            msg = "a line of the log was cut short"
            raise UnreachableError(msg) from error
        if self._seen is not None and when < self._seen:
            return again
        if when == self._seen and again > 0:
            return again - 1
        self._times_seen = self._times_seen + 1 if when == self._seen else 1
        self._seen = when
        self._since = f"{stamp.decode()[:19]}{_zone(stamp.decode())}"
        self._excerpt.add(text + b"\n")
        self._sink(text + b"\n")
        return 0


def time_key(stamp: str) -> tuple[datetime, int]:
    """Return what orders times of a log: they have up to nine digits.

    Raises:
        ValueError: It isn't such a time.
    """
    zone = _zone(stamp)
    whole, _, digits = stamp.removesuffix(zone).partition(".")
    second = datetime.fromisoformat(f"{whole}{zone}")
    return second, int(digits.ljust(9, "0") if digits else "0")


def _zone(stamp: str) -> str:
    return "Z" if stamp.endswith("Z") else stamp[-6:]
