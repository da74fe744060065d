"""What people see of the ingestion in Dagster."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from dagster import (
    MetadataValue,
    TableColumn,
    TableRecord,
    TableSchema,
    TimestampMetadataValue,
)

from moderate.flows.metadata_ingestion.ingestion import Report
from moderate.inbox.metadata_sources import Source

MOST_SHOWN = 200
"""Lines of a table or a text; the rest is counted."""

MIB = 1024 * 1024
LONGEST = 300

Metadata = Mapping[str, MetadataValue | TimestampMetadataValue]

_UNCHANGED = TableSchema(
    columns=[
        TableColumn("source", "string"),
        TableColumn("service in OpenMetadata", "string"),
        TableColumn("parts", "int"),
    ]
)
_FAILED = TableSchema(
    columns=[TableColumn("what", "string"), TableColumn("why", "string")]
)


def of_find(
    changed: Sequence[Source],
    unchanged: Sequence[tuple[Source, int]],
    notes: Sequence[str],
    seconds: float,
) -> Metadata:
    """Return the metadata of a look at all sources.

    Args:
        changed: Those that get steps.
        unchanged: The others, with how many parts they have.
        notes: What a person should know.
        seconds: How long it took.
    """
    return {
        "found": MetadataValue.int(len(changed) + len(unchanged)),
        "changed": MetadataValue.int(len(changed)),
        "unchanged": MetadataValue.int(len(unchanged)),
        "left out": MetadataValue.int(
            sum("is left out" in note for note in notes)
        ),
        "unchanged sources": MetadataValue.table(
            _of_unchanged(unchanged), _UNCHANGED
        ),
        "notes": MetadataValue.md(_list(notes)),
        "seconds": MetadataValue.float(round(seconds, 3)),
    }


def of_step(report: Report) -> Metadata:
    """Return the metadata of a step of a source."""
    return {
        "source": MetadataValue.text(report.source.name),
        "service": MetadataValue.text(report.source.service),
        "found": MetadataValue.int(report.found),
        "written": MetadataValue.int(report.written),
        "unchanged": MetadataValue.int(report.unchanged),
        "removed": MetadataValue.int(report.removed),
        "failed": MetadataValue.int(len(report.failed)),
        "failures": MetadataValue.table(_of_failed(report.failed), _FAILED),
        "requests that write": MetadataValue.int(report.requests),
        "notes": MetadataValue.md(_list(report.notes)),
        "began": MetadataValue.timestamp(
            datetime.fromtimestamp(report.began, UTC)
        ),
        "seconds": MetadataValue.float(round(report.seconds, 3)),
        "cpu seconds": MetadataValue.float(round(report.cpu_seconds, 3)),
        "peak MiB": MetadataValue.float(round(report.peak_bytes / MIB, 1)),
    }


def of_profile(report: Report) -> Metadata:
    """Return the figures of a profile that was made in another's op."""
    return {f"profile: {name}": of for name, of in of_step(report).items()}


def of_adopted(adopted: Sequence[Report]) -> MetadataValue:
    """Return what says which steps were done in place of others."""
    return MetadataValue.md(
        _list([f"{each.step} of {each.source.name!r}" for each in adopted])
    )


def failure(report: Report) -> str:
    """Return what a step says that is not a success."""
    lines = [f"{report.step} of {report.source.name!r} failed"]
    if report.error:
        lines.append(report.error)
    if report.failed:
        lines.append(f"{len(report.failed)} failed:")
    lines += [
        f"{name}: {why[:LONGEST]}" for name, why in report.failed[:MOST_SHOWN]
    ]
    more = len(report.failed) - MOST_SHOWN
    return "\n".join([*lines, *([f"… and {more} more"] if more > 0 else [])])


def _of_unchanged(
    unchanged: Sequence[tuple[Source, int]],
) -> list[TableRecord]:
    rows = [(each.name, each.service, parts) for each, parts in unchanged]
    if rest := rows[MOST_SHOWN:]:
        more = sum(parts for _, _, parts in rest)
        rows[MOST_SHOWN:] = [(f"… {len(rest)} more", "", more)]
    return [
        TableRecord(
            {"source": name, "service in OpenMetadata": service, "parts": n}
        )
        for name, service, n in rows
    ]


def _of_failed(failed: Sequence[tuple[str, str]]) -> list[TableRecord]:
    rows = [(name, why[:LONGEST]) for name, why in failed]
    if rest := rows[MOST_SHOWN:]:
        rows[MOST_SHOWN:] = [(f"… {len(rest)} more", "")]
    return [TableRecord({"what": name, "why": why}) for name, why in rows]


def _list(notes: Sequence[str]) -> str:
    shown = [f"- {note.translate(_SIGNS)}" for note in notes[:MOST_SHOWN]]
    more = len(notes) - MOST_SHOWN
    return "\n".join([*shown, *([f"- … {more} more"] if more > 0 else [])])


_SIGNS = str.maketrans(
    {sign: f"&#{ord(sign)};" for sign in "|<>&`*_[]\\"} | {"\n": " "}
)
