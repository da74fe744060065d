"""Finds out how a text file lays out its table: separator, header, times.

The variable's name is the best guide: the header is the first row in which
it stands as a cell of its own and that the rows below agree with. So titles,
units and remarks above the header need no rules of their own.
"""

import csv
import io
import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from moderate.workloads.matrix_profile.errors import InputError
from moderate.workloads.matrix_profile.table import unknown_variable
from moderate.workloads.matrix_profile.times import parse_times

DELIMITERS = (",", ";", "\t", "|")
# Where a header may stand, and how many rows below have to agree with it.
HEADER_ROWS = 60
AGREEING_ROWS = 25
# How many rows, and of how many columns, are tried for times.
TIME_ROWS = 200
TIME_COLUMNS = 50
# The share of the sample's cells that must be times.
TIME_SHARE = 0.9

TIME_NAME = re.compile(
    r"(?i)time|date|stamp|epoch|unix|^ts$|zeit|datum|fecha|hora|^dt$|^t$"
)
_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2})?")


@dataclass(frozen=True)
class Layout:
    """How to read the rows of a text table.

    Attributes:
        delimiter: What separates cells.
        header_row: Index of the header among the rows.
        names: The cells of the header.
        variable: Index of the variable's column.
        time: Indexes of the columns with the time: none, one, or two (a date
            and a clock).
        epochs: Whether bare numbers in the time column are epochs.
    """

    delimiter: str
    header_row: int
    names: tuple[str, ...]
    variable: int
    time: tuple[int, ...] = ()
    epochs: bool = False


def find_layout(sample: str, variable: str) -> Layout:
    """Finds the layout from the beginning of a file.

    Args:
        sample: Whole lines from the start of the file.
        variable: Name of the column to analyse.

    Returns:
        The layout.

    Raises:
        InputError: It is no table, it has no such column, or no rows.
    """
    wanted = normalised(variable)
    found: list[tuple[float, int, Layout]] = []
    for delimiter in DELIMITERS:
        rows = list(itertools.islice(read_rows(sample, delimiter), 300))
        layout = _layout(rows, delimiter, wanted)
        if layout is not None:
            share = _agreement(rows, layout.header_row)
            found.append((share, len(layout.names), layout))
    if not found:
        raise _no_variable(sample, variable)
    share, _, layout = max(found, key=lambda entry: entry[:2])
    if not share:
        raise InputError("the table has a header but no rows below it")
    rows = list(itertools.islice(read_rows(sample, layout.delimiter), 300))
    return _with_times(layout, rows[layout.header_row + 1 :])


def read_rows(text: str, delimiter: str) -> Iterator[list[str]]:
    """Yields the rows of a text, up to the first that is broken."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    while True:
        try:
            yield next(reader)
        except (StopIteration, csv.Error):
            return


def normalised(name: str) -> str:
    """Makes names comparable: no outer blanks, one form of each accent."""
    return unicodedata.normalize("NFC", name.strip())


def _layout(
    rows: Sequence[list[str]], delimiter: str, wanted: str
) -> Layout | None:
    candidates = [
        index
        for index, row in enumerate(rows[:HEADER_ROWS])
        if wanted in map(normalised, row)
    ]
    if not candidates:
        return None
    # Max keeps the first of those that agree equally well.
    header = max(candidates, key=lambda index: _agreement(rows, index))
    names = tuple(normalised(cell) for cell in rows[header])
    return Layout(delimiter, header, names, names.index(wanted))


def _agreement(rows: Sequence[list[str]], header: int) -> float:
    """Says which share of the rows below has as many cells as the header.

    One more or one fewer is a trailing separator.
    """
    width = len(rows[header])
    below = [row for row in rows[header + 1 :] if row][:AGREEING_ROWS]
    if not below:
        return 0.0
    same = sum(len(row) == width for row in below)
    near = sum(width > 1 and abs(len(row) - width) == 1 for row in below)
    return (same + 0.5 * near) / len(below)


def _no_variable(sample: str, variable: str) -> InputError:
    """Explains that there is no such column, or no table at all."""
    best: tuple[float, list[str]] = (0.0, [])
    for delimiter in DELIMITERS:
        rows = [row for row in read_rows(sample, delimiter) if row]
        widths = Counter(len(row) for row in rows if len(row) > 1)
        if not widths:
            continue
        width, times = widths.most_common(1)[0]
        score = times * width / len(rows)
        if score > best[0]:
            best = score, next(row for row in rows if len(row) == width)
    if not best[1]:
        first = next(iter(sample.splitlines()), "")
        best = 0.0, [first]
    return unknown_variable(variable, best[1])


def _with_times(layout: Layout, rows: Sequence[list[str]]) -> Layout:
    """Adds the column with the times, preferring one whose name says so."""
    rows = [row for row in rows if row][:TIME_ROWS]
    order = sorted(
        (i for i in range(len(layout.names)) if i != layout.variable),
        key=lambda i: TIME_NAME.search(layout.names[i]) is None,
    )
    for index in order[:TIME_COLUMNS]:
        cells = [row[index].strip() for row in rows if index < len(row)]
        epochs = TIME_NAME.search(layout.names[index]) is not None
        if not _holds_times(cells, epochs=epochs):
            continue
        clock = _clock(layout, rows) if _are_repeated_dates(cells) else None
        columns = (index,) if clock is None else (index, clock)
        return replace(layout, time=columns, epochs=epochs)
    return layout


def _holds_times(cells: Sequence[str], *, epochs: bool) -> bool:
    filled = [cell for cell in cells if cell]
    if not filled:
        return False
    readable = parse_times(filled, epochs=epochs).readable
    return bool(readable.mean() >= TIME_SHARE)


def _are_repeated_dates(cells: Sequence[str]) -> bool:
    """Says whether the times lack a clock that another column may hold."""
    return len(set(cells)) < len(cells) and not any(":" in c for c in cells)


def _clock(layout: Layout, rows: Sequence[list[str]]) -> int | None:
    """Finds the column with the time of the day beside one with dates."""
    for index in range(len(layout.names)):
        cells = [row[index].strip() for row in rows if index < len(row)]
        clocks = sum(_CLOCK.fullmatch(cell) is not None for cell in cells)
        if cells and clocks >= TIME_SHARE * len(cells):
            return index
    return None
