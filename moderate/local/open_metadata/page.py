"""The pages that show what arrived."""

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import ChainableUndefined, Environment, FileSystemLoader

from moderate.local.open_metadata.entity import Entity
from moderate.local.open_metadata.ledger import Ledger
from moderate.local.open_metadata.overview import Overview, describe

FOLDER = Path(__file__).parent / "pages"
MOST_LEAVES = 200
MOST_ROWS = 20
MOST_OPEN_SERVICES = 8
# What the profiler sends of a table that was never analysed.
UNKNOWN_ROWS = -1


def render(found: Overview, ledger: Ledger) -> str:
    """Return the page of everything; all that was sent is escaped."""
    template = _environment().get_template("overview.html")
    return template.render(
        found=found,
        ledger=ledger,
        most_leaves=MOST_LEAVES,
        opened=len(found.services) <= MOST_OPEN_SERVICES,
    )


def render_table(table: Entity) -> str:
    """Return the page of a table, stored procedure or container."""
    template = _environment().get_template("table.html")
    return template.render(
        leaf=describe(table),
        columns=[
            {**column, "profile": _latest(table, column)}
            for column in table.doc.get("columns", ())
        ],
        constraints=table.doc.get("tableConstraints", ()),
        definition=table.doc.get("schemaDefinition"),
        sample=table.sample,
        most_rows=MOST_ROWS,
    )


def _latest(table: Entity, column: dict[str, Any]) -> dict[str, Any]:
    kept = table.column_profiles.get(column["fullyQualifiedName"])
    return kept[-1] if kept else {}


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "moment": _moment,
        "rows": _rows,
        "share": _share,
        "words": _words,
    }
    return environment


def _moment(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def _rows(number: float | None) -> str:
    known = number is not None and number > UNKNOWN_ROWS
    return f"{number:,.0f}" if known else "unknown"


def _share(share: object) -> str:
    return f"{share:.0%}" if isinstance(share, int | float) else ""


def _words(kind: str) -> str:
    """``storedProcedure`` as people write it."""
    return "".join(f" {c.lower()}" if c.isupper() else c for c in kind)
