"""``python -m benchmarks [NAME ...]``: measure and print a table."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import (
    code_location,
    data_services,
    datasets,
    fastpath,
    fastpath_faults,
    history,
    intake,
    latency,
    matrix_profile,
    metadata,
    past_runs,
    state,
    trust,
    users,
)
from benchmarks.report import (
    Row,
    Suite,
    keep,
    machine,
    markdown,
    measured,
)

SUITES = (
    Suite("code-location", code_location.measure),
    Suite("datasets", datasets.measure),
    Suite("data-services", data_services.measure),
    Suite("fast-path", fastpath.measure),
    Suite("fast-path-faults", fastpath_faults.measure),
    Suite("history", history.measure),
    Suite("past-runs", past_runs.measure),
    Suite("intake", intake.measure),
    Suite("latency", latency.measure),
    Suite("metadata", metadata.measure),
    Suite("state", state.measure),
    Suite("new-users", trust.newcomers),
    Suite("many-users", trust.backlog),
    Suite("failures", trust.failures),
    Suite("users", users.measure),
    Suite("matrix-profile", matrix_profile.measure),
)


DOCS = Path(__file__).parent.parent / "docs" / "bench"
OUTPUT = Path(".local/bench")


def main(arguments: Sequence[str]) -> None:
    """Run the chosen suites, all by default."""
    names = [suite.name for suite in SUITES]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=str(names))
    parser.add_argument(
        "--output",
        type=Path,
        default=OUTPUT,
        help="write bench.json and bench.md into this folder, where figures"
        f" of other suites stay (default: {OUTPUT})",
    )
    parser.add_argument(
        "--publish",
        action="store_true",
        help="write them into docs/bench, too",
    )
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(names):
        parser.error(f"no suite named {', '.join(sorted(unknown))}: {names}")
    folders = [options.output, *([DOCS] if options.publish else [])]
    print(f"{machine()}\n\n{markdown(_rows(options.names, folders))}\n")


def _rows(names: Sequence[str], folders: Sequence[Path]) -> list[Row]:
    """Measure, and keep each suite's figures as soon as they are there."""
    rows: list[Row] = []
    order = [suite.name for suite in SUITES]
    for suite in SUITES:
        if not names or suite.name in names:
            print(f"measuring {suite.name} …", file=sys.stderr)
            found = measured(suite)
            for folder in folders:
                keep(folder, found, order)
            rows += found.rows
    return rows


if __name__ == "__main__":
    main(sys.argv[1:])
