"""What to tell of a matrix profile: motifs, discords, flat stretches."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from moderate.workloads.matrix_profile.notes import Note, count
from moderate.workloads.matrix_profile.profile import Profile
from moderate.workloads.matrix_profile.series import Series, duration_text

# How many of each are listed.
LISTED = 3
# Below this correlation the best match is no repetition worth the name.
WEAK = 0.7
# A larger rounding error than this is said openly.
TOLERATED_CORRECTION = 1e-7


@dataclass(frozen=True)
class Finding:
    """A window and the one most like it.

    Attributes:
        window: Index of the first value of the window.
        match: Index of the first value of the window most like it.
        distance: Their distance.
        correlation: Their Pearson correlation, which is the same in a
            number that people know.
        by_definition: Whether just one of them is flat, so that the distance
            is a matter of definition and says nothing of likeness.
    """

    window: int
    match: int
    distance: float
    correlation: float
    by_definition: bool


@dataclass(frozen=True)
class Findings:
    """The windows to look at first.

    Attributes:
        motifs: The pairs that are most alike, the best first.
        discords: The windows least like any other, the strangest first.
    """

    motifs: tuple[Finding, ...]
    discords: tuple[Finding, ...]


def find(profile: Profile, m: int) -> Findings:
    """Picks motifs and discords that do not overlap.

    Flat windows are no motifs: that nothing happens twice tells nothing. A
    flat window that has no like may well be a discord.

    Args:
        profile: The matrix profile.
        m: Length of its windows.

    Returns:
        Up to ``LISTED`` of each.
    """
    defined = np.flatnonzero(profile.neighbour >= 0)
    order = defined[np.argsort(profile.distance[defined], kind="stable")]
    flat = profile.constant
    shaped = order[~flat[order] & ~flat[profile.neighbour[order]]]
    motifs = _apart(shaped, profile, m, with_match=True)
    discords = _apart(order[::-1], profile, m, with_match=False)
    return Findings(motifs, discords)


def _apart(
    order: NDArray[np.int64], profile: Profile, m: int, *, with_match: bool
) -> tuple[Finding, ...]:
    """Takes the first windows of ``order`` that overlap none taken before."""
    taken: list[int] = []
    found: list[Finding] = []
    free = np.ones(profile.distance.size, dtype=np.bool_)
    for window in order:
        match = int(profile.neighbour[window])
        if not free[window] or (with_match and not free[match]):
            continue
        taken = [int(window), match] if with_match else [int(window)]
        for start in taken:
            free[max(0, start - m + 1) : start + m] = False
        found.append(_finding(profile, int(window), m))
        if len(found) == LISTED:
            break
    return tuple(found)


def _finding(profile: Profile, window: int, m: int) -> Finding:
    distance = float(profile.distance[window])
    match = int(profile.neighbour[window])
    return Finding(
        window,
        match,
        distance,
        1 - distance**2 / (2 * m),
        bool(profile.constant[window] != profile.constant[match]),
    )


@dataclass(frozen=True)
class _Run:
    start: int
    length: int


def _runs(flags: NDArray[np.bool_]) -> Sequence[_Run]:
    """Finds the stretches in which a flag is set, the longest first."""
    edges = np.diff(np.concatenate(([0], flags.view(np.int8), [0])))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    runs = [
        _Run(int(start), int(end - start))
        for start, end in zip(starts, ends, strict=True)
    ]
    return sorted(runs, key=lambda run: -run.length)


def quality_notes(
    series: Series, profile: Profile, m: int, findings: Findings
) -> Iterable[Note]:
    """Says what gaps and flat runs did to the result.

    Args:
        series: The series.
        profile: Its matrix profile.
        m: Length of the windows.
        findings: What will be told of it.

    Yields:
        One note for each thing worth knowing.
    """
    yield _gap_note(series, profile)
    yield from _flat_notes(series, profile, m)
    if findings.motifs and findings.motifs[0].correlation < WEAK:
        text = (
            "Even the two windows most alike are not very alike: the series "
            "hardly repeats itself at this window length."
        )
        yield Note(text, "warning")
    if profile.correction > TOLERATED_CORRECTION:
        text = (
            "The values span so many orders of magnitude that some matches "
            "may not be the very best ones."
        )
        yield Note(text, "warning")


def _gap_note(series: Series, profile: Profile) -> Note:
    gaps = _runs(~np.isfinite(series.values))
    if not gaps:
        return Note("No value is missing.")
    missing = sum(gap.length for gap in gaps)
    lost = int((~profile.complete).sum())
    text = (
        f"{count(missing, 'step')} of {series.values.size:,} "
        f"({missing / series.values.size:.1%}) have no value, in "
        f"{count(len(gaps), 'gap')}; the longest, {_length(series, gaps[0])}, "
        f"begins at {series.time_text(gaps[0].start)}. Nothing was filled "
        f"in: {count(lost, 'window')} of {profile.complete.size:,} "
        f"({lost / profile.complete.size:.1%}) touch a gap and were not "
        "compared."
    )
    return Note(
        text, "warning" if lost > profile.complete.size / 2 else "info"
    )


def _flat_notes(series: Series, profile: Profile, m: int) -> Iterable[Note]:
    flat = _runs(profile.constant)
    if not flat:
        return
    longest = _Run(flat[0].start, flat[0].length + m - 1)
    text = (
        f"{count(len(flat), 'stretch', 'stretches')} of a window or longer "
        f"never change their value; the longest, {_length(series, longest)} "
        f"at {series.values[longest.start]:g}, begins at "
        f"{series.time_text(longest.start)}. Such windows have no shape: by "
        "the usual definition two of them are at distance 0, and one of them "
        "is at distance √m from any other window. They are not listed as "
        "repeated patterns."
    )
    yield Note(text)


def _length(series: Series, run: _Run) -> str:
    if series.step_us is None:
        return count(run.length, "value")
    return duration_text(run.length * series.step_us)
