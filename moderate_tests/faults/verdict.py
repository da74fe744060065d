"""What seeded kills came to: a line for people, and for the docs."""

import os
import platform
import subprocess
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from textwrap import wrap

import pytest

from moderate_tests.e2e.ways import Way
from moderate_tests.faults.nothing_lost import Balance
from moderate_tests.faults.trust_load import TrustBalance

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "faults.md"
BEGIN = "<!-- The last result, {way}; written by `task faults`. -->\n"
LONGEST_LINE = 78
END = "<!-- The end of the last result, {way}. -->\n"


@dataclass(frozen=True)
class Verdict:
    """The outcome of some kills.

    Attributes:
        way: How runs came to be begun.
        seed: Of what was killed, and when.
        kills: What was killed, and how often.
        balance: What came of the jobs.
        states: The states in which the jobs ended, and how many did.
        trust: What came of users and objects.
        seconds: How long it took until all was settled.
        commit: What was tested.
    """

    way: Way
    seed: int
    kills: Counter[str]
    balance: Balance
    states: Counter[str]
    trust: TrustBalance
    seconds: float
    commit: str

    def __str__(self) -> str:
        states = ", ".join(f"{n} {s}" for s, n in sorted(self.states.items()))
        return (
            f"way {self.way}, kills tried {self.kills.total()},"
            f" {self.balance},"
            f" jobs {self.balance.jobs} ({states}),"
            f" told again {self.balance.repeats}, {self.trust},"
            f" seed {self.seed},"
            f" {self.seconds / 60:.0f} min"
        )

    def write(self) -> None:
        """Put this in place of the last result in the docs."""
        begin, end = (mark.format(way=self.way) for mark in (BEGIN, END))
        before, _, rest = PAGE.read_text().partition(begin)
        _, _, after = rest.partition(end)
        PAGE.write_text(f"{before}{begin}{self._section()}{end}{after}")

    def _section(self) -> str:
        machine = f"{os.cpu_count()} cores, Linux {platform.release()}"
        rows = [f"| {name} | {n} |" for name, n in self.kills.most_common()]
        return "\n".join(
            [
                "",
                f"{datetime.now(UTC):%Y-%m-%d}, commit `{self.commit}`,",
                f"{machine}, Python {platform.python_version()}:",
                "",
                "```",
                *wrap(str(self), LONGEST_LINE),
                "```",
                "",
                "| killed | times |",
                "|---|---|",
                *rows,
                "",
                "",
            ]
        )


def commit() -> str:
    """Return the commit of the code, as far as it is known."""
    found = subprocess.run(
        ["git", "describe", "--always", "--exclude=*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() or "unknown"


VERDICTS = pytest.StashKey[list[Verdict]]()
"""What a session of tests has come to, for its summary."""
