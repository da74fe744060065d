"""What a run's page shows: previews, metrics, class sizes, loss and risk."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dagster import MetadataValue, TableRecord

if TYPE_CHECKING:
    from moderate.dataservices.anonymise import Report
    from moderate.dataservices.previews import Preview

NULL = "(null)"
BAR_WIDTH = 30


def table(rows: Sequence[dict[str, str | int | float | bool]]) -> Any:
    """Return rows as a table; the first one's keys are the columns."""
    return MetadataValue.table([TableRecord(dict(row)) for row in rows])


def markdown(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return rows as a Markdown table."""
    lines = ["| " + " | ".join(map(_cell, columns)) + " |"]
    lines.append("|" + "---|" * len(columns))
    lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    text = NULL if value is None else str(value)
    escaped = text.replace("\\", "\\\\").replace("|", "\\|")
    plain = escaped.replace("*", "\\*").replace("<", "&lt;")
    return " ".join(plain.split()) or " "


def preview_metadata(preview: "Preview") -> dict[str, Any]:
    """Return a preview as metadata."""
    names = [
        f"{name} ({kind})"
        for name, kind in zip(preview.columns, preview.types, strict=True)
    ]
    return {"preview": MetadataValue.md(markdown(names, preview.rows))}


def anonymisation_metadata(report: "Report") -> dict[str, Any]:
    """Return what an anonymisation reached, cost and risks."""
    reached = report.reached
    metrics: dict[str, Any] = {
        "rows_processed": report.rows,
        "columns_transformed": list(report.levels),
        "techniques_applied": ["generalisation", "suppression"],
        "suppressed_rows": report.suppressed,
        "suppression_rate": round(report.suppression_rate, 6),
        "information_loss": round(report.loss, 6),
        "k": reached.k,
        "class_sizes": MetadataValue.md(_histogram(report)),
        "loss_and_risk": table(_loss_and_risk(report)),
        "levels": table(
            [
                {"column": name, "level": level, "highest": highest}
                for name, (level, highest) in report.levels.items()
            ]
        ),
    }
    found = {
        "l_distinct": reached.distinct_l,
        "l_entropy": reached.entropy_l,
        "t": reached.t,
    }
    metrics |= {
        name: round(value, 6)
        for name, value in found.items()
        if value is not None
    }
    if report.notes:
        metrics["notes"] = "; ".join(report.notes)
    return metrics


def _loss_and_risk(
    report: "Report",
) -> Sequence[dict[str, str | int | float | bool]]:
    risk = report.risk
    rows = (
        ("information loss", report.loss, "0: none, 1: all"),
        ("suppressed", report.suppression_rate, "share of the rows"),
        ("prosecutor risk, highest", risk.prosecutor, "1 / smallest class"),
        ("prosecutor risk, mean", risk.prosecutor_mean, "classes / rows"),
        ("journalist risk, highest", risk.journalist, "by the population"),
        ("marketer risk", risk.marketer, "share found by a match"),
    )
    return [
        {"measure": name, "value": round(value, 6), "meaning": meaning}
        for name, value, meaning in rows
    ]


def _histogram(report: "Report") -> str:
    from moderate.dataservices.measures import histogram  # noqa: PLC0415

    bars = histogram(report.reached.sizes)
    most = max(bar.classes for bar in bars)
    return markdown(
        ["class size", "classes", "rows", ""],
        [
            [
                bar.label,
                bar.classes,
                bar.rows,
                "█" * max(1, round(bar.classes / most * BAR_WIDTH)),
            ]
            for bar in bars
        ],
    )
