"""Everything that is computed of a table, between reading and writing."""

from dataclasses import dataclass

from moderate.workloads.matrix_profile.config import Config
from moderate.workloads.matrix_profile.errors import InputError
from moderate.workloads.matrix_profile.findings import (
    Findings,
    find,
    quality_notes,
)
from moderate.workloads.matrix_profile.notes import Note
from moderate.workloads.matrix_profile.profile import Profile, matrix_profile
from moderate.workloads.matrix_profile.series import Series, regular_series
from moderate.workloads.matrix_profile.table import Table
from moderate.workloads.matrix_profile.window import Window, choose_window


@dataclass(frozen=True)
class Analysis:
    """All results of a run."""

    series: Series
    window: Window
    profile: Profile
    findings: Findings
    notes: tuple[Note, ...]


def analyse(table: Table, config: Config) -> Analysis:
    """Computes everything that the report tells.

    Args:
        table: The variable and the times.
        config: The window, the bounds and the number of threads.

    Returns:
        The results.

    Raises:
        InputError: The series is too short, too long or too full of gaps.
    """
    series = regular_series(table, max_points=config.max_points)
    window = choose_window(series, config.window)
    m = window.points
    profile = matrix_profile(series.values, m, threads=config.threads)
    if not (profile.neighbour >= 0).any():
        raise InputError(
            "no two windows can be compared: the gaps leave too few "
            f"stretches of {window.text} without a missing value"
        )
    findings = find(profile, m)
    quality = quality_notes(series, profile, m, findings)
    notes = (*table.notes, *series.notes, *quality)
    return Analysis(series, window, profile, findings, notes)
