"""What people see of a dataset in Dagster: metadata and checks."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetKey,
    MetadataValue,
    TableColumn,
    TableRecord,
    TableSchema,
)

from moderate.flows.datasets.facts import Collected, Converted, Failed
from moderate.flows.datasets.publish import Published, all_failures
from moderate.flows.datasets.shelves import Shelves

SOURCE_CHECKS = {
    "row_counts_equal": "Source, Parquet and CSV have the same rows.",
    "no_column_lost": "Source, Parquet and CSV have the same columns.",
    "schema_unchanged": "Columns are those of the last version; a diff.",
    "every_file_read": "Every file could be fetched and read.",
}
PLATFORM_CHECKS = {
    "objects_complete": "Each file's latest object has the bytes of ours.",
    "every_file_published": "Every file got to the platform.",
}

MOST_SHOWN = 200
"""Lines of a table or a diff; the rest is counted."""

Metadata = Mapping[str, MetadataValue]

_FILES = TableSchema(
    columns=[
        TableColumn("file", "string"),
        TableColumn("state", "string"),
        TableColumn("rows", "int"),
        TableColumn("columns", "int"),
        TableColumn("bytes", "int"),
        TableColumn("what", "string"),
    ]
)
_SIGNS = str.maketrans(
    {sign: f"&#{ord(sign)};" for sign in "|<>&`*_[]\\"} | {"\n": " "}
)


def of_source(collected: Collected) -> Metadata:
    """Return the metadata of a dataset as its repository has it."""
    rows = sum(file.rows for file in collected.converted)
    return {
        "repository": MetadataValue.text(collected.url),
        "commit": MetadataValue.text(collected.commit),
        "files": MetadataValue.int(len(collected.paths)),
        "converted": MetadataValue.int(len(collected.converted)),
        "skipped": MetadataValue.int(len(collected.unchanged)),
        "failed": MetadataValue.int(len(collected.failed)),
        "rows": MetadataValue.int(rows),
        "bytes": MetadataValue.int(
            sum(file.source_bytes for file in collected.converted)
        ),
        "by file": _table(_source_records(collected)),
        "preview": MetadataValue.md(_previews(collected.converted)),
    }


def of_platform(collected: Collected, published: Published) -> Metadata:
    """Return the metadata of a dataset as the platform has it."""
    failed = all_failures(collected, published)
    return {
        "commit": MetadataValue.text(collected.commit),
        "platform assets": MetadataValue.json(list(published.asset_ids)),
        "uploaded": MetadataValue.int(len(published.uploaded)),
        "uploaded bytes": MetadataValue.int(sum(published.uploaded.values())),
        "skipped": MetadataValue.int(len(collected.unchanged)),
        "found there": MetadataValue.int(len(published.adopted)),
        "twins removed": MetadataValue.int(published.twins),
        "failed": MetadataValue.int(len(failed)),
        "by object": _table(_platform_records(published, failed)),
    }


def source_checks(
    key: AssetKey, collected: Collected
) -> Iterator[AssetCheckResult]:
    """Yield whether the converted files are what their sources are."""
    files = collected.converted
    yield _check(
        key,
        "row_counts_equal",
        [
            f"{file.path}: {file.rows} rows, {output.rows} in {output.format}"
            for file in files
            for output in file.outputs
            if output.rows != file.rows
        ],
    )
    yield _check(
        key,
        "no_column_lost",
        [
            f"{file.path}: other columns in {output.format}"
            for file in files
            for output in file.outputs
            if list(output.columns) != [name for name, _ in file.columns]
        ],
    )
    yield _check(
        key,
        "schema_unchanged",
        [
            line
            for file in files
            if file.drift
            for line in (f"{file.path}:", *file.drift)
        ],
        AssetCheckSeverity.WARN,
    )
    yield _check(key, "every_file_read", _lines(collected.failed))


def platform_checks(
    key: AssetKey, collected: Collected, shelves: Shelves
) -> Iterator[AssetCheckResult]:
    """Yield whether the platform has what was converted."""
    there = {each.sha256_hash for each in shelves.objects}
    missing = [
        f"{file.path} in {output.format}"
        for file in collected.converted
        for output in file.outputs
        if output.sha256 not in there
        and not shelves.kept(output, collected.before.get(file.path))
    ]
    yield _check(key, "objects_complete", missing)
    yield _check(
        key, "every_file_published", _lines(collected.failed) + missing
    )


def failures(failed: Sequence[Failed]) -> str:
    """Return what a run says that failed because of some files."""
    shown = _lines(failed)
    return "\n".join((f"{len(shown)} file(s) failed:", *_bounded(shown)))


def _check(
    key: AssetKey,
    name: str,
    faults: Sequence[str],
    severity: AssetCheckSeverity = AssetCheckSeverity.ERROR,
) -> AssetCheckResult:
    text = "\n".join(_bounded(faults)).replace("```", "")
    return AssetCheckResult(
        asset_key=key,
        check_name=name,
        passed=not faults,
        severity=severity,
        metadata=(
            {"faults": MetadataValue.md(f"```diff\n{text}\n```")}
            if faults
            else {}
        ),
    )


def _lines(failed: Iterable[Failed]) -> list[str]:
    return [f"{each.path}: {each.why}" for each in failed]


def _bounded(lines: Sequence[str]) -> list[str]:
    more = len(lines) - MOST_SHOWN
    rest = [f"… and {more} more"] if more > 0 else []
    return [*lines[:MOST_SHOWN], *rest]


def _source_records(collected: Collected) -> Iterator[TableRecord]:
    for each in collected.failed:
        yield _record(each.path, "failed", what=each.why)
    for file in collected.converted:
        yield _record(
            file.path,
            "converted",
            file.rows,
            len(file.columns),
            file.source_bytes,
            "schema changed" if file.drift else "",
        )
    for path in collected.unchanged:
        yield _record(path, "skipped", what="unchanged")


def _platform_records(
    published: Published, failed: Sequence[Failed]
) -> Iterator[TableRecord]:
    for each in failed:
        yield _record(each.path, "failed", what=each.why)
    for name, size in published.uploaded.items():
        yield _record(name, "uploaded", size=size)
    for name in published.adopted:
        yield _record(name, "found there")


def _record(
    path: str,
    state: str,
    rows: int = 0,
    columns: int = 0,
    size: int = 0,
    what: str = "",
) -> TableRecord:
    return TableRecord(
        {
            "file": path,
            "state": state,
            "rows": rows,
            "columns": columns,
            "bytes": size,
            "what": what,
        }
    )


def _table(records: Iterable[TableRecord]) -> MetadataValue:
    shown = list(records)[:MOST_SHOWN]
    return MetadataValue.table(shown, schema=_FILES)


def _previews(files: Sequence[Converted]) -> str:
    """Return the first rows of some files; their text is not trusted."""
    shown = [_preview(file) for file in files[:5]]
    return "\n\n".join(shown) or "nothing has changed"


def _preview(file: Converted) -> str:
    names = list(file.preview[0]) if file.preview else []
    more = len(file.columns) - len(names)
    lines = [
        f"**{file.path.translate(_SIGNS)}**"
        + (f" and {more} more columns" if more > 0 else ""),
        "",
        _row(names),
        "|" + "---|" * len(names),
        *(_row(list(row.values())) for row in file.preview),
    ]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return "|" + "|".join(cell[:80].translate(_SIGNS) for cell in cells) + "|"
