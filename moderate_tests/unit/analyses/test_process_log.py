"""A log stays bounded and keeps what matters."""

from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import example, given
from hypothesis import strategies as st

from moderate.analyses.process_log import (
    KEPT_SEGMENTS,
    NOTE_BYTES,
    LogWriter,
    read_log,
)

LIMIT = 300
LONGEST = 5000
TEXT = b"".join(b"%d " % number for number in range(LONGEST))
"""No part of it occurs twice at the length of a head or a tail."""

sizes = st.lists(st.integers(0, LIMIT), max_size=12)


def parts_of(sizes: list[int]) -> list[bytes]:
    """Cut the text into parts of given sizes."""
    ends = list(accumulate(sizes))
    return [TEXT[e - s : e] for s, e in zip(sizes, ends, strict=True)]


@given(sizes)
def test_the_files_never_take_more_than_they_may(sizes: list[int]) -> None:
    with TemporaryDirectory() as folder:
        directory = Path(folder)
        log = LogWriter(directory, LIMIT)
        for part in parts_of(sizes):
            log.write(part)
            taken = [path.stat().st_size for path in directory.iterdir()]
            assert sum(taken) <= LIMIT
            assert len(taken) <= KEPT_SEGMENTS


@given(sizes, st.integers(0, 2 * LIMIT))
@example([LIMIT, LIMIT], 2 * LIMIT)
def test_what_is_read_is_the_whole_or_head_and_tail(
    sizes: list[int], max_bytes: int
) -> None:
    parts = parts_of(sizes)
    written = b"".join(parts)
    with TemporaryDirectory() as folder:
        log = LogWriter(Path(folder), LIMIT)
        for part in parts:
            log.write(part)
        read = read_log(Path(folder), max_bytes)

    assert len(read) <= max_bytes
    if len(written) <= min(LIMIT, max_bytes):
        assert read == written
    elif max_bytes <= NOTE_BYTES:
        assert written.endswith(read)
    else:
        head, _, rest = read.partition(b"\n[... ")
        note, _, tail = rest.partition(b" bytes are left out here ...]\n")
        assert written.startswith(head)
        assert written.endswith(tail)
        assert len(head) + len(tail) + int(note) == len(written)


def test_a_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert read_log(tmp_path / "absent", 1000) == b""
