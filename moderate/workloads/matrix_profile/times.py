"""Reads times as people and meters write them.

Understood are ISO 8601 and its everyday variants, day-month-year and
month-day-year with any separator, English month names, ``24:00``, AM and PM,
offsets from UTC, compact forms (``20200131:2345``), and, in a column whose
name says that it holds times, Unix epochs in s, ms, µs or ns.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moderate.workloads.matrix_profile.notes import Note

NOT_A_TIME = np.iinfo(np.int64).min
MICROSECONDS = 1_000_000
_MINUTE = 60 * MICROSECONDS
# By how much clocks are put forward in summer.
_SUMMER_MINUTES = 60

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 (naive times stay naive)
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_ISO_START = re.compile(r"\d{4}-")
_WRITTEN = re.compile(
    r"(?i)(?P<a>\d{1,4})[-/. ](?P<b>\d{1,2}|[a-z]{3,9})[-/. ](?P<c>\d{1,4})"
    r"(?:(?:[T,]|\s)\s*(?P<h>\d{1,2})[:.h](?P<m>\d{2})"
    r"(?:[:.](?P<s>\d{2})(?:[.,](?P<f>\d{1,9}))?)?"
    r"\s*(?P<p>[ap]\.?m\.?)?)?"
    r"\s*(?P<z>Z|UTC|GMT|[+-]\d{2}:?(?:\d{2})?)?"
)
_COMPACT = re.compile(
    r"(?P<y>(?:19|20)\d{2})(?P<mo>\d{2})(?P<d>\d{2})"
    r"(?:[T:_ -]?(?P<h>\d{2}):?(?P<m>\d{2}):?(?P<s>\d{2})?)?(?P<z>Z)?"
)
_COMPACT_PARTS = ("y", "mo", "d", "h", "m", "s")
_MONTHS = {
    name: number
    for number, name in enumerate(
        (
            *("jan", "feb", "mar", "apr", "may", "jun"),
            *("jul", "aug", "sep", "oct", "nov", "dec"),
        ),
        start=1,
    )
}
# Unix epochs between 1980 and 2100, and microseconds in one of their units.
_EPOCH_RANGE = (315_532_800, 4_102_444_800)
_EPOCH_UNITS = {1: 1e6, 10**3: 1e3, 10**6: 1.0, 10**9: 1e-3}


@dataclass(frozen=True)
class Times:
    """Times of a table's rows.

    Attributes:
        micros: Microseconds since 1970, in UTC where the table names an
            offset, else as written; ``NOT_A_TIME`` where unreadable.
        offset_us: What to add to show a time as the table writes it.
        zone: The clock's name, such as ``UTC+01:00``; empty if unsaid.
        notes: What the reader should know.
    """

    micros: NDArray[np.int64]
    offset_us: int = 0
    zone: str = ""
    notes: tuple[Note, ...] = ()

    @property
    def readable(self) -> NDArray[np.bool_]:
        """Which of the rows have a time."""
        return np.not_equal(self.micros, NOT_A_TIME)


def parse_times(texts: Sequence[str], *, epochs: bool) -> Times:
    """Reads times; never raises for a text that is no time.

    Args:
        texts: One for each row.
        epochs: Whether bare numbers may be Unix epochs or compact dates;
            only the column's name can tell them from a meter's counter.

    Returns:
        The times; rows that could not be read are ``NOT_A_TIME``.
    """
    stripped = [text.strip() for text in texts]
    if epochs:
        numeric = _parse_numeric(stripped)
        if numeric.readable.any():
            return numeric
    micros, offsets = _parse_iso(stripped)
    rest = np.flatnonzero(micros == NOT_A_TIME)
    notes: tuple[Note, ...] = ()
    if rest.size:
        fields = _match_written([stripped[row] for row in rest])
        micros[rest], notes = _combine(fields)
        offsets |= fields.offsets_seen()
    return _with_zone(micros, offsets, notes)


def _with_zone(
    micros: NDArray[np.int64],
    offsets: set[int | None],
    notes: tuple[Note, ...],
) -> Times:
    """Chooses the clock on which times are shown."""
    if not offsets - {None}:
        return Times(micros, notes=notes)
    if None in offsets:
        text = "Some times have an offset from UTC and some none: read as UTC."
        return Times(micros, 0, "UTC", (*notes, Note(text, "warning")))
    seen = sorted(offset for offset in offsets if offset is not None)
    if seen[-1] - seen[0] > _SUMMER_MINUTES:
        text = (
            "The times have several offsets from UTC; they are shown in UTC."
        )
        return Times(micros, 0, "UTC", (*notes, Note(text)))
    zone = zone_name(seen[0])
    if len(seen) > 1:
        text = f"Summer time is shown as winter time ({zone}) all year round."
        notes = (*notes, Note(text))
    return Times(micros, seen[0] * _MINUTE, zone, notes)


def zone_name(minutes: int) -> str:
    """Names an offset from UTC in minutes: ``UTC+05:30``, ``UTC``."""
    if minutes == 0:
        return "UTC"
    sign = "+" if minutes > 0 else "-"
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{sign}{hours:02d}:{rest:02d}"


def _parse_iso(
    texts: Sequence[str],
) -> tuple[NDArray[np.int64], set[int | None]]:
    """Reads what the standard library reads, which is fast."""
    micros = np.full(len(texts), NOT_A_TIME)
    offsets: set[int | None] = set()
    for row, text in enumerate(texts):
        if not _ISO_START.match(text):
            continue
        try:
            time = datetime.fromisoformat(text)
        except ValueError:
            continue
        offset = time.utcoffset()
        if offset is None:
            offsets.add(None)
            micros[row] = (time - _EPOCH) // _MICROSECOND
        else:
            offsets.add(offset // timedelta(minutes=1))
            micros[row] = (time - _EPOCH_UTC) // _MICROSECOND
    return micros, offsets


@dataclass(frozen=True)
class _Fields:
    """The parts of written times, one row each; -1 means unreadable.

    The columns of ``parts``: first, second, third number of the date, hour,
    minute, second, microsecond, offset from UTC in minutes.
    """

    parts: NDArray[np.int64]
    has_offset: NDArray[np.bool_]
    slashes: bool

    def offsets_seen(self) -> set[int | None]:
        readable = self.parts[:, 0] >= 0
        aware = readable & self.has_offset
        seen: set[int | None] = set(np.unique(self.parts[aware, 7]).tolist())
        return seen | {None} if (readable & ~aware).any() else seen


def _match_written(texts: Sequence[str]) -> _Fields:
    parts = np.full((len(texts), 8), -1, dtype=np.int64)
    has_offset = np.zeros(len(texts), dtype=np.bool_)
    slashes = False
    for row, text in enumerate(texts):
        match = _WRITTEN.fullmatch(text)
        if match is None:
            continue
        found = match.groupdict()
        numbers = _numbers_of(found)
        if numbers is not None:
            parts[row] = numbers
            has_offset[row] = found["z"] is not None
            slashes = slashes or "/" in text
    return _Fields(parts, has_offset, slashes)


def _numbers_of(found: dict[str, str | Any]) -> list[int] | None:
    """Turns the parts of one written time into numbers.

    A month that is named is moved to the middle, with its number negative,
    so that nobody takes it for a day.
    """
    second = found["b"]
    if second.isdigit():
        middle = int(second)
    else:
        month = _MONTHS.get(second[:3].lower())
        if month is None:
            return None
        middle = -month
    hour = _hour(int(found["h"] or 0), found["p"])
    if hour is None:
        return None
    fraction = (found["f"] or "0")[:6].ljust(6, "0")
    return [
        int(found["a"]),
        middle,
        _full_year(found["c"], first=found["a"]),
        hour,
        int(found["m"] or 0),
        int(found["s"] or 0),
        int(fraction),
        _offset_minutes(found["z"]),
    ]


def _hour(hour: int, half: str | None) -> int | None:
    if half is None:
        return hour
    if not 1 <= hour <= 12:
        return None
    return hour % 12 + (12 if half[0] in "pP" else 0)


def _full_year(text: str, *, first: str) -> int:
    """Completes a year of two digits as POSIX does: 69-99 are 1969-1999."""
    number = int(text)
    if len(first) == 4 or len(text) != 2:
        return number
    return number + (1900 if number >= 69 else 2000)


def _offset_minutes(text: str | None) -> int:
    if text is None or text[0] not in "+-":
        return 0
    digits = text[1:].replace(":", "").ljust(4, "0")
    minutes = int(digits[:2]) * 60 + int(digits[2:])
    return -minutes if text[0] == "-" else minutes


def _combine(
    fields: _Fields,
) -> tuple[NDArray[np.int64], tuple[Note, ...]]:
    """Turns parts into times, deciding once whether the day comes first."""
    first, middle, third = fields.parts[:, :3].T
    year_first = first > 31
    named = middle < 0
    day_first, notes = _is_day_first(
        first[(first >= 0) & ~year_first & ~named],
        middle[(first >= 0) & ~year_first & ~named],
        slashes=fields.slashes,
    )
    year = np.where(year_first, first, third)
    month = np.where(year_first | day_first | named, abs(middle), first)
    day = np.where(
        year_first, third, np.where(day_first | named, first, middle)
    )
    date = np.column_stack((year, month, day))
    micros = _civil(np.hstack((date, fields.parts[:, 3:7])))
    ok = (first >= 0) & (micros != NOT_A_TIME)
    shifted = micros[ok] - fields.parts[ok, 7] * _MINUTE
    result = np.full(first.size, NOT_A_TIME)
    result[ok] = shifted
    return result, notes


def _is_day_first(
    first: NDArray[np.int64], second: NDArray[np.int64], *, slashes: bool
) -> tuple[bool, tuple[Note, ...]]:
    """Decides on 3/4/2020 for the whole column.

    A number above 12 settles it. Where none is, the day is the part that
    changes more often; and where that doesn't tell, the day comes first, as
    nearly everywhere in Europe.
    """
    if not first.size:
        return True, ()
    if (first > 12).any() or (second > 12).any():
        return bool((first > 12).sum() >= (second > 12).sum()), ()
    changes = [np.count_nonzero(np.diff(part)) for part in (first, second)]
    day_first = bool(changes[0] >= changes[1])
    if not slashes and changes[0] == changes[1]:
        return True, ()
    order = "day/month" if day_first else "month/day"
    text = f"The dates do not tell day from month; they were read as {order}."
    return day_first, (Note(text, "warning"),)


def _civil(parts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Turns calendar and clock into microseconds since 1970.

    Args:
        parts: Rows of year, month, day, hour, minute, second, microsecond.

    Returns:
        One time for each row; ``NOT_A_TIME`` where there is none.
    """
    year, month, day, hour, minute, second, micro = parts.T
    ok = (year >= 1800) & (year <= 2200) & (month >= 1) & (month <= 12)
    year, month = np.where(ok, year, 1970), np.where(ok, month, 1)
    months = (year - 1970) * 12 + month - 1
    starts = months.astype("M8[M]").astype("M8[D]").astype(np.int64)
    ends = (months + 1).astype("M8[M]").astype("M8[D]").astype(np.int64)
    midnight = (hour == 24) & (minute == 0) & (second == 0)
    ok &= (day >= 1) & (day <= ends - starts) & (minute < 60) & (second < 61)
    ok &= (hour < 24) | midnight
    seconds = (starts + day - 1) * 86_400 + hour * 3600 + minute * 60 + second
    return np.where(ok, seconds * MICROSECONDS + micro, NOT_A_TIME)


def _parse_numeric(texts: Sequence[str]) -> Times:
    """Reads epochs and compact dates."""
    compact = [_COMPACT.fullmatch(text) for text in texts]
    if sum(match is not None for match in compact) * 2 > len(texts):
        return _parse_compact(compact)
    numbers = np.array([_number(text) for text in texts])
    micros = np.full(len(texts), NOT_A_TIME)
    for unit, factor in _EPOCH_UNITS.items():
        low, high = (bound * unit for bound in _EPOCH_RANGE)
        inside = (numbers >= low) & (numbers < high)
        micros[inside] = np.rint(numbers[inside] * factor).astype(np.int64)
    return Times(micros, 0, "UTC")


def _parse_compact(matches: Sequence[re.Match[str] | None]) -> Times:
    parts = np.array(
        [
            (
                [int(match[name] or 0) for name in _COMPACT_PARTS] + [0]
                if match
                else [-1] * 7
            )
            for match in matches
        ],
        dtype=np.int64,
    )
    zone = "UTC" if any(match and match["z"] for match in matches) else ""
    return Times(_civil(parts), 0, zone)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
