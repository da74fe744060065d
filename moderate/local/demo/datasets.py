"""An open dataset goes from a Git repository to the platform.

The repository is made on the spot and stands in for the building stock's own,
which needs the network: one file is as the original is written, with a title
line, semicolons and decimal commas.
"""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from moderate.clients.platform_api import PlatformApi
from moderate.flows.datasets.shelves import Shelves
from moderate.flows.datasets.sources import DATASETS
from moderate.local.demo.part import Say
from moderate.local.demo.runs import Runs
from moderate.local.realm import API_ACCOUNT
from moderate.local.stack import Stack

DATASET = DATASETS[0]
PV_ANALYSIS = "v1.0_Data_T3.1_Dynamicanalysis_PVanalysis.csv"
FILES: Mapping[str, str] = {
    f"T3.1-dynamic-analysis/PV/{PV_ANALYSIS}": (
        "MODERATE D3.1 case2and3\n"
        "fid;id_building;h;roof_area;Name\n"
        "18005;17649;4,22;183,79875;I-7\n"
        "3287;2953;3,28;224,55405;999\n"
    ),
    "T3.2-static-analysis/stock.csv": (
        "country,dwellings,heated_area_m2\nES,18500000,92.4\nIT,25700000,\n"
    ),
}
_AUTHOR = {
    "GIT_AUTHOR_NAME": "demo",
    "GIT_AUTHOR_EMAIL": "demo@example.org",
    "GIT_COMMITTER_NAME": "demo",
    "GIT_COMMITTER_EMAIL": "demo@example.org",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}


def settings(root: Path) -> Mapping[str, str]:
    """Return what makes the flow take the demo's repository."""
    folder = root.absolute()
    return {
        "DATASETS_MIRRORS": f"{DATASET.name}={_repository(folder).as_uri()}",
        "DATASETS_WORK_DIR": str(folder / "datasets"),
    }


class Datasets:
    """A run of the building stock's job is asked for, as a click would.

    Args:
        stack: The stack.
        say: Tells the person what happens.
    """

    def __init__(self, stack: Stack, say: Say) -> None:
        self._stack = stack
        self._say = say
        self._runs = Runs(stack.webserver.url)
        self._run = ""
        self._status = ""

    def begin(self) -> None:
        """Make the repository, and start the job."""
        _commit(_repository(self._stack.root))
        self._run = self._runs.launch(f"{DATASET.name}_job")
        self._say(
            f"  {len(FILES)} CSV files are committed to a Git repository; the"
            f" job of {DATASET.name} is started"
        )

    def look(self) -> bool:
        """Say when the run is over."""
        if not self._status and (status := self._runs.ended(self._run)):
            self._status = status
            self._say(f"  the job of {DATASET.name}: {status.lower()}")
        return bool(self._status)

    def table(self) -> Table:
        """Return the objects of the dataset's platform asset."""
        table = Table(
            "object",
            "series",
            "file in the repository",
            "commit",
            title="CSV files of a Git repository became Parquet and CSV",
        )
        for each in self._shelves().objects:
            tags = each.tags or {}
            table.add_row(
                str(each.id),
                escape(str(each.series_id)),
                escape(str(tags.get("file", ""))),
                str(tags.get("commit_sha", ""))[:12],
            )
        return table

    def _shelves(self) -> Shelves:
        url = self._stack.platform_api.url
        password = self._stack.password(API_ACCOUNT)
        with PlatformApi(url, API_ACCOUNT, password) as api:
            shelves = Shelves(api, url, DATASET)
            shelves.look()
        return shelves


def _repository(root: Path) -> Path:
    return root / "demo" / "building-stock"


def _commit(repository: Path) -> None:
    """Make the repository, or leave the one of an earlier demo as it is."""
    for name, content in FILES.items():
        path = repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    for command in (
        ("init", "--quiet", f"--initial-branch={DATASET.ref}"),
        ("config", "uploadpack.allowFilter", "true"),
        ("config", "uploadpack.allowAnySHA1InWant", "true"),
        ("add", "--all"),
        ("commit", "--quiet", "--allow-empty", "--message", "Data"),
    ):
        subprocess.run(
            ["git", *command],
            cwd=repository,
            env=os.environ | _AUTHOR,
            check=True,
            capture_output=True,
        )
