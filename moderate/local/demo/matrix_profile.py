"""Job messages become reports.

Users upload real meter readings and post jobs; one of the jobs asks for a
column that does not exist.
"""

import gzip
import time
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

from pydantic import SecretStr
from rich.markup import escape
from rich.table import Table

from moderate.clients.object_storage import ObjectStorage
from moderate.clients.platform_api import PlatformApi
from moderate.clients.platform_models import Job
from moderate.local.demo.part import Say
from moderate.local.stack import Stack

SAMPLES = "eemeter/eemeter/samples"
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
    """A job that the platform says is over.

    Attributes:
        posted: The job as it was posted.
        job: The job as it is now.
        seconds: How long that took.
        report: Where its report was saved, if it has one.
    """

    posted: Posted
    job: Job
    seconds: float
    report: Path | None

    @property
    def error(self) -> str | None:
        """Why it failed, as the user reads it."""
        return (self.job.results or {}).get("error")


def series(wish: Wish) -> bytes:
    """Return the sample of a wish: real meter readings, as CSV."""
    path = distribution("eemeter").locate_file(f"{SAMPLES}/{wish.sample}")
    return gzip.decompress(Path(str(path)).read_bytes())


class MatrixProfile:
    """Jobs are posted, and their reports are fetched.

    Args:
        stack: The stack.
        say: Tells the person what happens.
        shown: The folder of the reports as the table names it.
    """

    def __init__(
        self, stack: Stack, say: Say, shown: Path | None = None
    ) -> None:
        self._say = say
        self._folder = stack.root / "demo"
        self.shown = shown or self._folder
        url = stack.platform_api.url
        self._opened = ExitStack()
        self._clients = {
            wish.user: self._opened.enter_context(
                PlatformApi(url, wish.user, stack.password(wish.user))
            )
            for wish in WISHES
        }
        env = stack.env
        self._storage = ObjectStorage(
            env["S3_ACCESS_KEY_ID"],
            SecretStr(env["S3_SECRET_ACCESS_KEY"]),
            env["S3_REGION"],
            env["S3_ENDPOINT_URL"],
        )
        self._open: list[Posted] = []
        self._ended: list[Ended] = []

    @property
    def reports(self) -> list[Path]:
        """Where the reports were saved."""
        return [each.report for each in self._ended if each.report]

    def begin(self) -> None:
        """Upload a series and post a job for each wish."""
        for wish in WISHES:
            posted = self._post(wish)
            self._open.append(posted)
            self._say(
                f"  {wish.user} uploads {wish.filename} and posts job"
                f" {posted.job_id} for column {wish.variable!r}"
            )

    def look(self) -> bool:
        """Fetch the reports of jobs that are over since."""
        for posted in tuple(self._open):
            job = self._clients[posted.wish.user].get_job(posted.job_id)
            if job and job.finalised_at:
                self._open.remove(posted)
                self._end(posted, job)
        return not self._open

    def close(self) -> None:
        """Let the connections go; what was seen stays."""
        self._opened.close()

    def table(self) -> Table:
        """Return what became of each job."""
        table = Table(
            "job",
            "who",
            "series",
            "seconds",
            "what the platform says",
            title="A message became a report",
        )
        for each in sorted(self._ended, key=lambda ended: ended.job.id):
            table.add_row(
                str(each.job.id),
                each.posted.wish.user,
                each.posted.wish.filename,
                f"{each.seconds:.1f}",
                self._said(each),
            )
        return table

    def _said(self, ended: Ended) -> str:
        if ended.report:
            return f"[green]report[/] {self.shown / ended.report.name}"
        return f"[red]{escape(str(ended.error))}[/]"

    def _post(self, wish: Wish) -> Posted:
        api = self._clients[wish.user]
        asset = api.create_asset(f"Demo: {wish.filename}")
        uploaded = api.upload_object(asset.id, wish.filename, series(wish))
        job = api.create_job("matrix_profile", uploaded.id, wish.variable)
        return Posted(wish, job.id, time.monotonic())

    def _end(self, posted: Posted, job: Job) -> None:
        seconds = time.monotonic() - posted.at
        ended = Ended(posted, job, seconds, self._saved(job))
        self._ended.append(ended)
        what = "failed" if ended.error else "has its report"
        self._say(f"  job {job.id} {what} after {seconds:.1f} s")

    def _saved(self, job: Job) -> Path | None:
        """Fetch the report from S3."""
        results = job.results or {}
        key = results.get("output_key")
        if not key:
            return None
        self._folder.mkdir(exist_ok=True)
        path = self._folder / str(key)
        bucket = results["output_bucket"]
        path.write_bytes(self._storage.get(bucket, key, max_bytes=MAX_REPORT))
        return path
