"""The page that shows what arrived."""

from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from moderate.local.open_metadata.ledger import Ledger
from moderate.local.open_metadata.overview import Overview

FOLDER = Path(__file__).parent
MOST_LEAVES = 200
MOST_OPEN_SERVICES = 8


def render(found: Overview, ledger: Ledger) -> str:
    """Return the page as HTML; everything that was sent is escaped."""
    return _template().render(
        found=found,
        ledger=ledger,
        most_leaves=MOST_LEAVES,
        opened=len(found.services) <= MOST_OPEN_SERVICES,
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["moment"] = _moment
    return environment.get_template("page.html")


def _moment(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
