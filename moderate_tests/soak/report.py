"""The report: one HTML file that needs nothing else and runs no script."""

from pathlib import Path

import jinja2

from moderate_tests.soak import plot
from moderate_tests.soak.figures import MIB
from moderate_tests.soak.ledger import Flow, Wrong
from moderate_tests.soak.result import (
    FLATNESS,
    RECOVERY_LIMIT_SECONDS,
    Result,
)

TEMPLATE = Path(__file__).with_name("report.html")
TITLES = {
    "open": "Open items",
    "done": "Items done",
    "memory": "Memory of each process, MiB",
}


def render(result: Result) -> str:
    """Write the report.

    Args:
        result: What it tells.

    Returns:
        The page. Whatever is a name or a reason in it is escaped.
    """
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    bands = [(each.fault.begun, each.fault.ended) for each in result.faults]
    seconds = max(
        [each.at for each in result.samples],
        default=result.circumstances.seconds,
    )
    return environment.from_string(TEMPLATE.read_text()).render(
        result=result,
        flows=list(Flow),
        wrongs=list(Wrong),
        limit=RECOVERY_LIMIT_SECONDS,
        mib=MIB,
        flatness=FLATNESS,
        plots=[
            (TITLES[name], list(series), plot.lines(series, bands, seconds))
            for name, series in result.series.items()
        ],
    )
