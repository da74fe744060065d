"""A CSV file as blocks of whole records, with their lines counted."""

import codecs
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from moderate.workloads.csv_conversion.errors import CsvError
from moderate.workloads.csv_conversion.reading import Reading

BLOCK_BYTES = 8 * 1024 * 1024
"""Bytes that are looked at together; memory grows with it."""

LONGEST_RECORD = 64 * 1024 * 1024
"""Bytes after which a record without an end is a quote left open."""

LONGEST_LINE = 16 * 1024 * 1024
"""Bytes of a title or header line at the most."""

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_POINTER = b"version https://git-lfs.github.com/spec/"
_LOOK_AHEAD = 65_536
_RIVALS = ",;\t|"


class _Bytes(Protocol):
    def read(self, size: int, /) -> bytes: ...

    def readline(self, size: int, /) -> bytes: ...


@dataclass(frozen=True)
class Block:
    """Whole records.

    Attributes:
        data: Their UTF-8 bytes.
        line: The file's line on which they begin, from 1.
        quoted: Whether a quote is in it, so that a value may hold a line
            feed.
    """

    data: bytes
    line: int
    quoted: bool


@dataclass(frozen=True)
class Header:
    """The names of a file's columns, and the line that has them."""

    names: tuple[str, ...]
    line: int


class _Transcoded:
    """A file in another encoding, read as UTF-8."""

    def __init__(self, raw: BinaryIO, encoding: str) -> None:
        self._raw = raw
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        rest, self._rest = self._rest, b""
        return rest or self._more(size)

    def readline(self, size: int, /) -> bytes:
        line = self._rest
        while b"\n" not in line and len(line) < size:
            if not (more := self._more(_LOOK_AHEAD)):
                break
            line += more
        end = min(line.find(b"\n") + 1 or len(line), size)
        self._rest = line[end:]
        return line[:end]

    def _more(self, size: int) -> bytes:
        """Return some bytes; none at the file's end only."""
        text, ended = "", False
        while not text and not ended:
            piece = self._raw.read(size)
            ended = not piece
            try:
                text = self._decoder.decode(piece, final=ended)
            except UnicodeDecodeError as error:
                msg = f"is not {self._encoding}: {error.reason}"
                raise CsvError(msg) from error
        return text.encode()


class CsvSource:
    """A file that is read from its begin as often as needed.

    Args:
        path: The file.
        reading: How it is written.
        block_bytes: See ``BLOCK_BYTES``.

    Raises:
        CsvError: The file has no header that could be meant.
    """

    def __init__(
        self,
        path: Path,
        reading: Reading,
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        self.path = path
        self.reading = reading
        self._block_bytes = block_bytes
        with path.open("rb") as raw:
            self.header = self._header(self._utf8(raw))

    def blocks(self) -> Iterator[Block]:
        """Yield the records behind the header.

        Raises:
            CsvError: A quote is left open, or bytes are not UTF-8.
        """
        with self.path.open("rb") as raw:
            file = self._utf8(raw)
            for _ in range(self.header.line):
                file.readline(LONGEST_LINE)
            for block in self._records(file, self.header.line + 1):
                _check_utf8(block, self.reading.separator)
                yield block

    def _utf8(self, raw: BinaryIO) -> _Bytes:
        if codecs.lookup(self.reading.encoding).name != "utf-8":
            return _Transcoded(raw, self.reading.encoding)
        start = raw.read(len(_POINTER))
        if start.startswith(_UTF16):
            msg = "is UTF-16: say so in the dataset's reading rule"
            raise CsvError(msg, line=1)
        if start == _POINTER:
            msg = "is a pointer of Git LFS and not the file itself"
            raise CsvError(msg, line=1)
        marked = start.startswith(codecs.BOM_UTF8)
        raw.seek(len(codecs.BOM_UTF8) if marked else 0)
        return raw

    def _header(self, file: _Bytes) -> Header:
        for _ in range(self.reading.title_lines):
            file.readline(LONGEST_LINE)
        number = self.reading.title_lines + 1
        # Blank lines before the header say nothing.
        while (line := file.readline(LONGEST_LINE)).strip() == b"" and line:
            number += 1
        if not line:
            msg = "the file is empty"
            raise CsvError(msg)
        try:
            text = line.decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            msg = f"the header is not {self.reading.encoding}"
            raise CsvError(msg, line=number) from error
        return Header(_names(text, number, self.reading.separator), number)

    def _records(self, file: _Bytes, line: int) -> Iterator[Block]:
        rest = b""
        while piece := file.read(self._block_bytes):
            data = rest + piece
            end = _last_boundary(data)
            if end:
                whole = data[:end]
                yield Block(whole, line, b'"' in whole)
                line += whole.count(b"\n")
            rest = data[end:]
            if len(rest) > LONGEST_RECORD:
                raise _open_quote(rest, line)
        if rest.count(b'"') % 2:
            raise _open_quote(rest, line)
        if rest.strip():
            yield Block(rest, line, b'"' in rest)


def _last_boundary(data: bytes) -> int:
    """Return where the last whole record ends; 0 when there is none.

    A line feed ends a record if the quotes before it are even (RFC 4180; a
    quote inside quotes is doubled).
    """
    quotes = data.count(b'"')
    end = len(data)
    while (cut := data.rfind(b"\n", 0, end) + 1) > 0:
        quotes -= data.count(b'"', cut, end)
        if quotes % 2 == 0:
            return cut
        end = cut - 1
    return 0


def _open_quote(rest: bytes, line: int) -> CsvError:
    """Return the error, with the line of the last quote that opens."""
    if rest.count(b'"') % 2:
        line += rest.count(b"\n", 0, rest.rfind(b'"'))
        return CsvError("a quote is not closed", line=line)
    return CsvError(f"a record is over {LONGEST_RECORD} bytes", line=line)


def _check_utf8(block: Block, separator: str) -> None:
    if block.data.isascii():
        return
    try:
        block.data.decode()
    except UnicodeDecodeError as error:
        before = block.data[: error.start]
        line = block.line + before.count(b"\n")
        in_line = before[before.rfind(b"\n") + 1 :]
        column = in_line.count(separator.encode()) + 1
        byte = block.data[error.start]
        msg = f"byte 0x{byte:02X} is not UTF-8: is the encoding mixed?"
        raise CsvError(msg, line=line, column=column) from error


def _names(text: str, line: int, separator: str) -> tuple[str, ...]:
    try:
        fields = next(csv.reader([text], delimiter=separator, strict=True))
    except (csv.Error, StopIteration) as error:
        msg = f"the header can't be read: {error}"
        raise CsvError(msg, line=line) from error
    if len(fields) == 1:
        _refuse_other_separator(text, line, separator)
    if all(_looks_like_data(field) for field in fields if field.strip()):
        msg = "there is no header: the first line holds values only"
        raise CsvError(msg, line=line)
    names = [
        field.strip() or f"column_{number}"
        for number, field in enumerate(fields, 1)
    ]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        msg = f"column names occur twice: {', '.join(doubled[:10])}"
        raise CsvError(msg, line=line)
    return tuple(names)


def _refuse_other_separator(text: str, line: int, separator: str) -> None:
    for rival in _RIVALS.replace(separator, ""):
        if rival in text:
            msg = (
                f"one column, but {rival!r} in its name: is the separator of"
                " the dataset's reading rule right?"
            )
            raise CsvError(msg, line=line)


def _looks_like_data(field: str) -> bool:
    """Say whether a name would rather be a number or a time."""
    plain = field.strip().replace(",", ".")
    kept = plain.translate(str.maketrans("", "", "0123456789.+-:/eETZ "))
    return not kept and any(char.isdigit() for char in plain)
