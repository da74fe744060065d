"""What a run says on its page about the items of its batch."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from dagster import MetadataValue

from moderate.inbox.model import WorkItem

MOST_ROWS = 100
"""Items that the table shows one by one; the counts are of all."""

LONGEST_CELL = 300

HINT = (
    "`moderate inbox show ITEM` shows all that is known of one,"
    " `moderate inbox retry ITEM --why …` tries a dead one again."
)


class What(StrEnum):
    """What became of an item in this run."""

    DONE = "done"
    THERE = "already there"
    GONE = "gone"
    WAITING = "waiting"
    AGAIN = "failed, tried again"
    DEAD = "dead"
    BACK = "given back"


_QUIET = frozenset({What.DONE, What.THERE, What.GONE})


@dataclass(frozen=True)
class _Line:
    item: WorkItem
    what: What
    seconds: float
    note: str


@dataclass
class Report:
    """What became of a batch so far."""

    _lines: list[_Line] = field(default_factory=list)
    _begun: float = field(default_factory=time.monotonic)

    def add(
        self, item: WorkItem, what: What, seconds: float, note: str = ""
    ) -> None:
        """Note what became of an item.

        Args:
            item: The item.
            what: Its fate.
            seconds: How long it was at work.
            note: Why, for people; without secrets.
        """
        self._lines.append(_Line(item, what, seconds, note))

    @property
    def counts(self) -> Mapping[What, int]:
        """How many items had each fate."""
        return Counter(line.what for line in self._lines)

    def metadata(self) -> dict[str, MetadataValue]:
        """Return the run's figures and table."""
        figures = {
            str(what): MetadataValue.int(self.counts[what])
            for what in What
            if what is What.DONE or self.counts[what]
        }
        seconds = time.monotonic() - self._begun
        return {
            **figures,
            "seconds": MetadataValue.float(round(seconds, 1)),
            "items": MetadataValue.md(self._table()),
        }

    def _table(self) -> str:
        # Those that somebody may have to look at come first.
        lines = sorted(
            self._lines, key=lambda line: (line.what in _QUIET, line.item.id)
        )
        rows = [
            f"| {line.item.id} | {_cell(line.item.key)} | {line.what}"
            f" | {line.seconds:.1f} | {_cell(line.note)} |"
            for line in lines[:MOST_ROWS]
        ]
        more = len(lines) - len(rows)
        return "\n".join(
            [
                "| item | key | what happened | seconds | why |",
                "|-|-|-|-|-|",
                *rows,
                "",
                *([f"… and {more} more.", ""] if more > 0 else []),
                HINT,
            ]
        )


def _cell(text: str) -> str:
    """Return untrusted text as it can stand in a table of Markdown."""
    flat = " ".join(text.split())[:LONGEST_CELL]
    for special in ("\\", "`", "|", "<", ">", "[", "]", "*", "_"):
        flat = flat.replace(special, f"\\{special}")
    return flat
