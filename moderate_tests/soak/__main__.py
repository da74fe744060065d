"""``python -m moderate_tests.soak``: load and faults, then the ledger."""

import argparse
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from benchmarks.report import machine
from moderate.local import install
from moderate.local.reporting import say
from moderate_tests.faults.verdict import commit
from moderate_tests.soak.chaos import Chaos
from moderate_tests.soak.ledger import Facts, judge
from moderate_tests.soak.load import REFUSED, Load
from moderate_tests.soak.outside import Outside
from moderate_tests.soak.report import render
from moderate_tests.soak.result import Circumstances, Result, weigh
from moderate_tests.soak.stage import STACK, Stage, running
from moderate_tests.soak.tables import Tables
from moderate_tests.soak.watch import Watch

SECONDS = 600.0
SETTLE_SECONDS = 300.0
SETTLE_LOOK_SECONDS = 5.0
CALM_SECONDS = 45.0
CALM_SHARE = 0.25
"""In the end nothing more is broken: the last fault's recovery counts, too."""
OUTPUT = Path(".local/soak")
DOCS = Path(__file__).parents[2] / "docs" / "soak"
FAILED = 1


def main(arguments: Sequence[str]) -> int:
    """Soak, write the report, and return the exit code."""
    options = _options(arguments)
    # What ends a soak from outside lets it end what it started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    install.ensure(install.STACK)
    say(f"seed {options.seed}, {options.seconds:.0f} s")
    # Not below the output: Postgres does not run as root, and must reach it.
    root = Path(tempfile.mkdtemp(prefix="moderate-soak-"))
    root.chmod(0o711)
    try:
        with running(root) as stage:
            result = soak(stage, options.seed, options.seconds)
    finally:
        shutil.copytree(
            root / STACK / "logs", options.output / "logs", dirs_exist_ok=True
        )
        shutil.rmtree(root, ignore_errors=True)
    folders = [options.output, *([DOCS] if options.publish else [])]
    for folder in folders:
        write(result, folder)
    say(f"{result}\nreport: {options.output / 'report.html'}")
    for finding in result.findings:
        say(f"{finding.wrong}: {finding.item}: {finding.text}")
    for missed in result.missed:
        say(f"missed: {missed}")
    return FAILED if result.missed else 0


def soak(stage: Stage, seed: int, seconds: float) -> Result:
    """Bring load in and break things, wait, and weigh what came of it.

    Args:
        stage: What runs.
        seed: Of load and faults.
        seconds: How long both go on.
    """
    told = machine()
    date = datetime.now(UTC)
    tables = Tables(stage.stack, Random(f"{seed}/changes"))
    watch = Watch(stage, tables)
    load = Load(stage.live, seed, tables, watch.open_of)
    chaos = Chaos(stage, watch, seed)
    outside = Outside(stage, tables)
    watch.start()
    load.start()
    begun = time.monotonic()
    chaos.rage(seconds - min(CALM_SECONDS, CALM_SHARE * seconds))
    time.sleep(max(0.0, begun + seconds - time.monotonic()))  # the load
    load.stop()
    chaos.mend()
    ended = time.time()
    facts = settle(load, outside, ended)
    watch.stop()
    return weigh(
        Circumstances(
            seed=seed,
            seconds=seconds,
            settled=time.time() - ended,
            date=f"{date:%Y-%m-%d %H:%M} UTC",
            commit=commit(),
            machine=told,
        ),
        facts,
        chaos.struck,
        [*outside.successes(watch.began), *watch.seen],
        load.refused,
        watch.samples,
        watch.memory,
    )


def settle(load: Load, outside: Outside, ended: float) -> Facts:
    """Wait until all is well, or for so long that it will not be.

    Args:
        load: Still asks for the ingestion, until all tables are there.
        outside: Looks.
        ended: When the load ended, in seconds since the epoch.
    """
    deadline = time.monotonic() + SETTLE_SECONDS
    run, asked = "", 0.0
    while True:
        is_late = time.monotonic() > deadline
        try:
            facts = outside.facts(ended)
            if is_late or not judge(facts):
                return facts
            if any(list(each.findings()) for each in facts.tables):
                run, asked = load.ingest_again(run, asked)
        except REFUSED:
            if is_late:
                raise
        time.sleep(SETTLE_LOOK_SECONDS)  # until something changes


def write(result: Result, folder: Path) -> None:
    """Write the report, and the same facts for programs."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.html").write_text(render(result))
    (folder / "soak.json").write_text(result.as_json() + "\n")


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    given = os.environ
    parser = argparse.ArgumentParser(prog="task soak --", description=__doc__)
    parser.add_argument(
        "--seconds",
        type=float,
        default=float(given.get("SOAK_SECONDS") or SECONDS),
        help="of load and faults (SOAK_SECONDS)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=int(given.get("SOAK_SEED") or secrets.randbelow(2**32)),
        help="repeats the choices of another time (SOAK_SEED)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(given.get("SOAK_OUTPUT") or OUTPUT),
        help="the folder of the report (SOAK_OUTPUT)",
    )
    parser.add_argument(
        "--publish",
        action="store_true",
        help="write the report into docs/soak, too",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
