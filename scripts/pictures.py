"""Take the README's pictures: run the demo and photograph what it shows.

``python -m scripts.pictures [demo] [kubernetes] [fast-path]``, all by default:
needs Debian's ``chromium``.
"""

import io
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import psycopg
from psycopg import sql
from rich.console import Console, Group

from moderate.local.demo import Demo, demo_stack
from moderate.local.demo.runs import Runs
from moderate.local.services.s3 import ASSETS_BUCKET
from moderate.local.stack import Stack
from moderate_tests.e2e.live import Live
from moderate_tests.e2e.on_kubernetes import LARGE_SERIES, live_on_kubernetes
from moderate_tests.unit.workloads.browser import chromium

FOLDER = Path(__file__).parent.parent / "docs" / "pictures"
DRAWING_SECONDS = 8.0
POLL_SECONDS = 0.5
PEOPLE = "name,age,gender,disease\n" + "".join(
    f"P{n},{20 + n * 7 % 60},{'MF'[n % 2]},{['flu', 'gout'][n % 3 % 2]}\n"
    for n in range(400)
)
"""A table to anonymise."""

ANONYMISATION: Mapping[str, Any] = {
    "read_csv_from_minio": {
        "bucket_name": ASSETS_BUCKET,
        "file_key": "people.csv",
    },
    "apply_k_anonymity": {
        "ident": ["name"],
        "sensitive_attributes": ["disease"],
        "quasi_identifiers": ["gender", "age"],
        "k": 4,
        "supp_level": 0.05,
        "generalisation_hierarchies": {
            "gender": "simpl_gender",
            "age": "simpl_age",
        },
    },
    "write_csv_to_minio": {
        "bucket_name": ASSETS_BUCKET,
        "file_key": "people.k4.csv",
    },
}
FLOW_PAGE = "/assets/operations/matrix_profile"
PAGES: Mapping[str, str] = {
    "datasets.png": "/locations/{location}/asset-groups/datasets/lineage",
    "dataset.png": "/assets/platform_asset_building_stock?view=overview",
    "checks.png": f"{FLOW_PAGE}?view=checks&checkDetail=nothing_dead",
    "admin.png": "/locations/{location}/jobs/inbox_admin_job/playground",
}
"""Pages of Dagster's UI, by the picture's name."""

FAN_OUT = "ingestion.png"
PAGES_OF_RUNS: Mapping[str, str] = {
    "run.png": "matrix_profile_job",
    "users.png": "propagate_new_user_to_trust_services_job",
    FAN_OUT: "postgres_ingestion_job",
    "anonymisation.png": "k_anonymity_job_s3",
}
"""Pages of runs, by the picture's name: the run's job."""

RUNS = """{ runsOrError(limit: 100) { ... on Runs { results {
  runId jobName status tags { key value }
} } } }"""


def photograph(
    url: str, name: str, *, width: int, height: int, button: str = ""
) -> None:
    """Take a picture of a page, once its scripts have had some seconds.

    Args:
        url: The page.
        name: The picture's file.
        width: Of the window, in pixels.
        height: Of the window, in pixels.
        button: What is on a button to be pressed before.
    """
    pressed = (
        "[...document.querySelectorAll('button')]"
        f".find(each => each.innerText.trim() === {json.dumps(button)})"
    )
    with chromium() as browser:
        browser.resize(width, height)
        browser.go(url)
        time.sleep(DRAWING_SECONDS)
        if button:
            browser.wait_for(f"!!{pressed}")
            browser.value(f"{pressed}.click()")
            time.sleep(DRAWING_SECONDS)
        browser.screenshot(FOLDER / name, whole=False)


def photograph_terminal(lines: Sequence[str], closing: Group) -> None:
    """Take a picture of what the demo printed."""
    console = Console(
        record=True, width=118, force_terminal=True, file=io.StringIO()
    )
    for line in lines:
        console.print(line, highlight=False)
    console.print(closing)
    with tempfile.NamedTemporaryFile(suffix=".svg") as file:
        console.save_svg(file.name, title="./scripts/task demo")
        photograph(f"file://{file.name}", "demo.png", width=1180, height=1520)


def run_of_job(stack: Stack, job: str) -> str:
    """Return the id of the last successful run of a Dagster job."""
    answer = httpx.post(
        f"{stack.webserver.url}/graphql", json={"query": RUNS}, timeout=30
    ).json()
    for run in answer["data"]["runsOrError"]["results"]:
        if run["jobName"] == job and run["status"] == "SUCCESS":
            return str(run["runId"])
    msg = f"no successful run of {job}"
    raise LookupError(msg)


def photograph_kubernetes() -> None:
    """Take a picture of a run whose Job was out of memory."""
    with live_on_kubernetes() as (live, _):
        job = live.post_on(LARGE_SERIES)
        live.until_settled([job])
        (run,) = live.ui.runs_of(job)
        url = f"{live.stack.webserver.url}/runs/{run.id}"
        photograph(url, "out-of-memory.png", width=1500, height=900)


def photograph_fast_path() -> None:
    """Take a picture of a run that a warm worker began."""
    with tempfile.TemporaryDirectory(prefix="moderate-pictures-") as folder:
        Path(folder).chmod(0o711)
        with Stack(
            Path(folder) / "stack",
            durable=False,
            emulator={"EMULATOR_JOB_DEBOUNCE_SECONDS": "0"},
            fast=True,
        ) as stack:
            live = Live(stack)
            for _ in range(2):  # the first run of all takes longer
                job = live.post()
                live.until_settled([job])
            (run,) = live.ui.runs_of(job)
            live.until(lambda: live.ui.run(run.id).is_over, "it is over")
            live.close()
            url = f"{stack.webserver.url}/runs/{run.id}"
            photograph(url, "fast-path.png", width=1500, height=900)


def photograph_demo() -> None:
    """Run the demo in a folder of its own and take its pictures."""
    with tempfile.TemporaryDirectory(prefix="moderate-pictures-") as folder:
        Path(folder).chmod(0o711)
        with demo_stack(Path(folder) / "stack") as stack:
            lines: list[str] = []
            demo = Demo(stack, lines.append)
            demo.matrix_profile.shown = Path(".local/demo")
            demo.run()
            photograph_terminal(lines, demo.closing())
            report = demo.matrix_profile.reports[0]
            photograph(
                f"file://{report}", "report.png", width=1200, height=1080
            )
            photograph(
                stack.open_metadata.url,
                "open-metadata.png",
                width=1200,
                height=900,
            )
            anonymise(stack)
            ingest_changes(stack)
            photograph_ui(stack)


def ingest_changes(stack: Stack) -> None:
    """Have databases that are new, changed and unchanged looked at."""
    for name in ("heating", "occupancy", "tariffs", "weather"):
        stack.postgres.create_database(f"demo_{name}")
        add_tables(stack, f"demo_{name}", ("days", "hours", "sites"))
    add_tables(stack, "demo_meters", ("calibrations",))
    runs = Runs(stack.webserver.url)
    end(runs, runs.launch("postgres_ingestion_job"))


def add_tables(stack: Stack, database: str, names: Sequence[str]) -> None:
    """Make tables with some rows."""
    with psycopg.connect(
        stack.postgres.url(database), autocommit=True
    ) as conn:
        for name in names:
            table = sql.Identifier(name)
            conn.execute(
                sql.SQL(
                    "CREATE TABLE {} (id int PRIMARY KEY, value float8);"
                    "INSERT INTO {} SELECT n, n / 7.0"
                    " FROM generate_series(1, 1000) n"
                ).format(table, table)
            )


def anonymise(stack: Stack) -> None:
    """Run a data service on a table of people."""
    stack.s3.client().put_object(
        Bucket=ASSETS_BUCKET, Key="people.csv", Body=PEOPLE.encode()
    )
    runs = Runs(stack.webserver.url)
    ops = {name: {"config": ANONYMISATION[name]} for name in ANONYMISATION}
    end(runs, runs.launch("k_anonymity_job_s3", {"ops": ops}))


def end(runs: Runs, run: str) -> None:
    """Wait for the end of a run."""
    while runs.ended(run) is None:
        time.sleep(POLL_SECONDS)


def photograph_ui(stack: Stack) -> None:
    """Take pictures of Dagster's pages."""
    ui = stack.webserver.url
    location = Runs(ui).location
    for name, path in PAGES.items():
        url = ui + path.format(location=location)
        photograph(url, name, width=1500, height=900)
    photograph(
        f"{ui}{FLOW_PAGE}?view=overview",
        "operations.png",
        width=1500,
        height=1500,
        button="Plots",
    )
    for name, job in PAGES_OF_RUNS.items():
        url = f"{ui}/runs/{run_of_job(stack, job)}"
        height = 1400 if name == FAN_OUT else 900
        photograph(url, name, width=1500, height=height)


SCENES: Mapping[str, Callable[[], None]] = {
    "demo": photograph_demo,
    "kubernetes": photograph_kubernetes,
    "fast-path": photograph_fast_path,
}


def main(names: Sequence[str]) -> None:
    """Take the pictures of these scenes, of all by default."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in names or SCENES:
        SCENES[name]()
    sys.stdout.write(f"pictures are in {FOLDER}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
