"""The demo: real data through the real service, told as it happens.

Users upload real meter readings and post jobs; one of the jobs asks for a
column that does not exist. The closing table says what
became of each, as the platform says it.
"""

import gzip
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import distribution
from pathlib import Path

from pydantic import SecretStr
from rich.table import Table

from moderate.clients.object_storage import ObjectStorage
from moderate.clients.platform_api import PlatformApi
from moderate.clients.platform_models import AssetObject, Job
from moderate.local.stack import Stack

SAMPLES = "eemeter/eemeter/samples"
PATIENCE = timedelta(minutes=5)
POLL_SECONDS = 0.5
MAX_REPORT = 20 * 1024 * 1024


@dataclass(frozen=True)
class Wish:
    """One job of the demo: who asks for what."""

    user: str
    sample: str
    variable: str

    @property
    def filename(self) -> str:
        """The name under which the series is uploaded."""
        return self.sample.removesuffix(".gz")


WISHES = (
    Wish("alice", "il-electricity-cdd-hdd-hourly.csv.gz", "value"),
    Wish("bob", "il-gas-hdd-only-hourly.csv.gz", "value"),
    Wish(
        "workflows", "il-electricity-cdd-only-hourly.csv.gz", "no_such_column"
    ),
)
"""One job each: the platform lets a user post one in 10 s."""


@dataclass(frozen=True)
class Posted:
    """A job that was posted."""

    wish: Wish
    job_id: int
    at: float


@dataclass(frozen=True)
class Ended:
    """A job that the platform says is over."""

    posted: Posted
    job: Job
    seconds: float

    @property
    def error(self) -> str | None:
        """Why it failed, as the user reads it."""
        return (self.job.results or {}).get("error")


def series(wish: Wish) -> bytes:
    """Return the sample of a wish: real meter readings, as CSV."""
    path = distribution("eemeter").locate_file(f"{SAMPLES}/{wish.sample}")
    return gzip.decompress(Path(str(path)).read_bytes())


def post(api: PlatformApi, wish: Wish) -> Posted:
    """Upload the series of a wish and post its job."""
    asset = api.create_asset(f"Demo: {wish.filename}")
    uploaded: AssetObject = api.upload_object(
        asset.id, wish.filename, series(wish)
    )
    job = api.create_job("matrix_profile", uploaded.id, wish.variable)
    return Posted(wish, job.id, time.monotonic())


def await_end(
    clients: Mapping[str, PlatformApi], posted: Sequence[Posted]
) -> Iterator[Ended]:
    """Yield each job as the platform says that it is over.

    Raises:
        TimeoutError: Some are still open when patience ends; names them.
    """
    waiting = list(posted)
    deadline = time.monotonic() + PATIENCE.total_seconds()
    while waiting:
        for each in tuple(waiting):
            job = clients[each.wish.user].get_job(each.job_id)
            if job and job.finalised_at:
                waiting.remove(each)
                yield Ended(each, job, time.monotonic() - each.at)
        if time.monotonic() > deadline:
            ids = ", ".join(str(each.job_id) for each in waiting)
            msg = f"jobs {ids} are still open after {PATIENCE}"
            raise TimeoutError(msg)
        time.sleep(POLL_SECONDS)  # the platform tells nobody; it is asked


class Demo:
    """The demo on a stack that is up.

    Args:
        stack: The stack.
        say: Tells the person what happens.
    """

    def __init__(self, stack: Stack, say: Callable[[str], None]) -> None:
        self._stack = stack
        self._say = say
        url = stack.platform_api.url
        self._clients = {
            wish.user: PlatformApi(url, wish.user, stack.password(wish.user))
            for wish in WISHES
        }

    def run(self) -> list[Ended]:
        """Post all jobs and wait for their ends.

        Raises:
            TimeoutError: Some are still open when patience ends.
        """
        posted = [self._post(wish) for wish in WISHES]
        self._say("The sensor takes the messages, runs launch the analyses …")
        ended = []
        for each in await_end(self._clients, posted):
            ended.append(each)
            what = "failed" if each.error else "has its report"
            self._say(f"  job {each.job.id} {what} after {each.seconds:.1f} s")
        return sorted(ended, key=lambda each: each.job.id)

    def save_reports(self, ended: Sequence[Ended]) -> dict[int, Path]:
        """Fetch the reports from S3; return where each job's one lies."""
        env = self._stack.env
        storage = ObjectStorage(
            env["S3_ACCESS_KEY_ID"],
            SecretStr(env["S3_SECRET_ACCESS_KEY"]),
            env["S3_REGION"],
            env["S3_ENDPOINT_URL"],
        )
        folder = self._stack.root / "demo"
        folder.mkdir(exist_ok=True)
        saved = {}
        for each in ended:
            results = each.job.results or {}
            if key := results.get("output_key"):
                path = folder / key
                bucket = results["output_bucket"]
                content = storage.get(bucket, key, max_bytes=MAX_REPORT)
                path.write_bytes(content)
                saved[each.job.id] = path
        return saved

    def _post(self, wish: Wish) -> Posted:
        posted = post(self._clients[wish.user], wish)
        self._say(
            f"  {wish.user} uploads {wish.filename} and posts job"
            f" {posted.job_id} for column {wish.variable!r}"
        )
        return posted


def closing_table(ended: Sequence[Ended], saved: Mapping[int, Path]) -> Table:
    """Return the table of what became of each job."""
    table = Table(
        "job",
        "who",
        "series",
        "seconds",
        "what the platform says",
        title="A message became a report",
    )
    for each in ended:
        report = saved.get(each.job.id)
        table.add_row(
            str(each.job.id),
            each.posted.wish.user,
            each.posted.wish.filename,
            f"{each.seconds:.1f}",
            (
                f"[green]report[/] {report}"
                if report
                else f"[red]{each.error}[/]"
            ),
        )
    return table
