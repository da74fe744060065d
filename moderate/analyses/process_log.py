"""The bounded log of a process attempt: its head and its tail.

A log is a row of segment files, ``log.<offset>``, each named by how many
bytes were written before it. The first segment and the last two are kept, so
a log has an upper size however much is written, and its last line survives
even when the writer is killed.

Only the standard library is imported: the supervisor uses this module too.
"""

from pathlib import Path

KEPT_SEGMENTS = 3
HEAD_SHARE = 4
"""A quarter of what is shown of a long log is its head."""

NOTE_BYTES = 80
"""Room for the note that tells how much is left out."""

_PREFIX = "log."


class LogWriter:
    """Appends to an attempt's log.

    Args:
        directory: Where the segments are.
        max_bytes: The most that the segments take together.
    """

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._directory = directory
        self._segment_bytes = max(1, max_bytes // KEPT_SEGMENTS)
        self._segments: list[Path] = []
        self._written = 0
        self._room = 0

    def write(self, data: bytes) -> None:
        """Append bytes; unbuffered, for the reader may come at any time.

        Raises:
            OSError: The file system doesn't take them.
        """
        while data:
            if not self._room:
                self._next_segment()
            count = self._append(data[: self._room])
            data = data[count:]
            self._written += count
            self._room -= count

    def _append(self, data: bytes) -> int:
        with self._segments[-1].open("ab", buffering=0) as segment:
            return segment.write(data)

    def _next_segment(self) -> None:
        self._segments.append(_segment(self._directory, self._written))
        self._room = self._segment_bytes
        if len(self._segments) > KEPT_SEGMENTS:
            self._segments.pop(1).unlink(missing_ok=True)


def read_log(directory: Path, max_bytes: int) -> bytes:
    """Return a log, or its head and tail with a note between.

    Args:
        directory: Where the segments are; may be absent.
        max_bytes: The most bytes to return. The tail matters most: it alone
            is returned where there is no room for more.
    """
    segments = _read_segments(directory)
    start, tail = _unbroken_tail(segments)
    size = start + len(tail)
    if start == 0 and size <= max_bytes:
        return tail
    room = max_bytes - NOTE_BYTES
    if room <= 0:
        return tail[len(tail) - max(0, max_bytes) :]
    tail = tail[-(room - room // HEAD_SHARE) :]
    head = segments[0][1] if segments[0][0] == 0 else b""
    head = head[: room - len(tail)]
    left_out = size - len(head) - len(tail)
    note = f"\n[... {left_out} bytes are left out here ...]\n"
    return head + note.encode() + tail


def _unbroken_tail(segments: list[tuple[int, bytes]]) -> tuple[int, bytes]:
    """Join the last segments, back to the first gap; return their offset."""
    start, tail = 0, b""
    for offset, data in reversed(segments):
        if tail and offset + len(data) != start:
            break
        start, tail = offset, data + tail
    return start, tail


def _read_segments(directory: Path) -> list[tuple[int, bytes]]:
    """Read what is there; the writer may remove a segment meanwhile."""
    segments = []
    for path in directory.glob(f"{_PREFIX}*"):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            continue
        segments.append((int(path.name.removeprefix(_PREFIX)), data))
    return sorted(segments)


def _segment(directory: Path, offset: int) -> Path:
    return directory / f"{_PREFIX}{offset}"
