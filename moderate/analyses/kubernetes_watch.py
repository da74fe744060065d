"""Hears that objects have changed; what they are is looked up by who waits.

A watch is a hint and little more: streams end, break and fall silent, so
whoever waits looks every few seconds anyway. But what a pod was when it went
is told nowhere else, so each object that is told of is passed on. It goes on
from the last version that it saw; where that is forgotten (410, which comes
as an event in an answer of status 200), it begins anew.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import Any

from moderate.analyses.kubernetes_api import Cluster, Json, Query
from moderate.analyses.kubernetes_errors import GoneError, taken_apart
from moderate.analyses.launcher import UnreachableError
from moderate.errors import ModerateError, TemporaryError

SERVER_SECONDS = 240
"""After which the server ends a watch that is still there."""

SILENCE_SECONDS = 60.0
"""After which a stream without a word is taken for broken."""

PAUSE_SECONDS = 1.0
"""Before a watch that ended is opened again."""

LONGEST_EVENT = 8 * 2**20
"""Bytes; the cluster's own store holds no object of more than 1.5 MiB."""

LONGEST_SECRET = 4096
"""Bytes. So many are left out before a cut: half a secret is not known for
one, and would be shown."""

_GONE = 410
_LOG = logging.getLogger(__name__)


class _Line:
    """A line that is put together of pieces, up to a bound.

    Args:
        longest: The most that is kept of one, in bytes.
    """

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._kept = bytearray()
        self._size = 0

    def __bool__(self) -> bool:
        return self._size > 0

    def add(self, piece: bytes) -> None:
        """Add what comes next."""
        self._kept += piece[: self._longest - len(self._kept)]
        self._size += len(piece)

    def taken(self) -> bytes:
        """Return the line, with a mark where it was cut; begin another."""
        kept = bytes(self._kept)
        if self._size > self._longest:
            kept = kept[: max(0, self._longest - LONGEST_SECRET)]
            left_out = self._size - len(kept)
            kept += b" [... %d bytes of this line are left out]" % left_out
        self._kept.clear()
        self._size = 0
        return kept


class Stream:
    """An answer that comes bit by bit, which another thread may cut off.

    Args:
        longest: The most that is kept of one line, in bytes.
    """

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._lock = Lock()
        self._answer: Any = None
        self._is_cut = False

    def lines(self, answer: Any) -> Iterator[bytes]:
        """Yield the whole lines of an answer, until it ends or is cut."""
        with self._lock:
            self._answer = answer
        try:
            line = _Line(self._longest)
            while not self._is_cut and (data := answer.read1(2**16)):
                *ends, rest = data.split(b"\n")
                for end in ends:
                    line.add(end)
                    yield line.taken()
                line.add(rest)
            if line and not self._is_cut:
                yield line.taken()
        finally:
            with self._lock:
                self._answer = None

    def cut(self) -> None:
        """End the reading, now and for ever."""
        self._is_cut = True
        with self._lock:
            if self._answer is not None:
                # It has ended by itself just now.
                with suppress(RuntimeError, ValueError, OSError):
                    self._answer.shutdown()


class Watch:
    """Tells whenever a chosen object may have changed.

    Args:
        cluster: Where the objects are.
        kind: What they are.
        selector: Which, as a query's parameter.
        tell: Gets each object as it is told of, the last time when it is
            gone; and nothing where only looking helps.
    """

    def __init__(
        self,
        cluster: Cluster,
        kind: str,
        selector: Mapping[str, str],
        tell: Callable[[Json | None], None],
    ) -> None:
        self._cluster = cluster
        self._kind = kind
        self._selector = selector
        self._tell = tell
        self._stopped = Event()
        self._stream = Stream(LONGEST_EVENT)
        self._version = ""
        self._thread = Thread(
            target=self._run, name=f"watch-{kind[-4:]}", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop watching; the thread ends soon."""
        self._stopped.set()
        self._stream.cut()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._watch()
            except GoneError:
                self._version = ""
            except ModerateError as error:
                _LOG.debug("the watch broke: %s", error)
            if self._stopped.wait(PAUSE_SECONDS):
                return

    def _watch(self) -> None:
        if not self._version:
            found = self._cluster.find_with_version(
                self._kind, **self._selector
            )
            self._version = found[1]
            self._tell(None)
        query: Query = {
            "watch": True,
            **self._selector,
            "resourceVersion": self._version,
            "allowWatchBookmarks": True,
            "timeoutSeconds": SERVER_SECONDS,
        }
        path = self._cluster.watch_path(self._kind)
        with self._cluster.stream(path, query, SILENCE_SECONDS) as answer:
            for line in self._stream.lines(answer):
                self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            event = json.loads(line)
        except (RecursionError, ValueError) as error:
            msg = "an event of the watch was cut short"
            raise UnreachableError(msg) from error
        with taken_apart():
            thing, kind = event["object"], event["type"]
            if kind == "ERROR":
                _raise_status(thing)
            self._version = str(thing["metadata"]["resourceVersion"])
        if kind != "BOOKMARK":
            self._tell(thing)


def _raise_status(status: dict[str, Any]) -> None:
    text = f"the watch ended: {status.get('message')}"
    if status.get("code") == _GONE:
        raise GoneError(text)
    raise TemporaryError(text)
