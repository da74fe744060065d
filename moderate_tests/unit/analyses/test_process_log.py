"""A log stays bounded and keeps what matters."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from moderate.analyses.process_log import (
    KEPT_SEGMENTS,
    NOTE_BYTES,
    LogWriter,
    read_log,
)

LIMIT = 300
chunks = st.lists(st.binary(max_size=250), max_size=20)


@given(chunks)
def test_the_files_never_take_more_than_they_may(parts: list[bytes]) -> None:
    with TemporaryDirectory() as folder:
        directory = Path(folder)
        log = LogWriter(directory, LIMIT)
        for part in parts:
            log.write(part)
            sizes = [path.stat().st_size for path in directory.iterdir()]
            assert sum(sizes) <= LIMIT
            assert len(sizes) <= KEPT_SEGMENTS


@given(chunks, st.integers(0, 2 * LIMIT))
def test_what_is_read_is_the_whole_or_head_and_tail(
    parts: list[bytes], max_bytes: int
) -> None:
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
