"""An open dataset goes from a Git repository to the platform.

The repository is made on the spot and stands in for the building stock's own,
which needs the network: one file is as the original is written, with a title
line, semicolons and decimal commas.
"""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from rich.markup import escape
from rich.table import Table

from moderate.clients.platform_api import PlatformApi
from moderate.flows.datasets.shelves import Shelves
from moderate.flows.datasets.sources import DATASETS
from moderate.local.demo.part import Say
from moderate.local.realm import API_ACCOUNT
from moderate.local.stack import Stack

DATASET = DATASETS[0]
TIMEOUT_SECONDS = 10.0
ENDED = ("SUCCESS", "FAILURE", "CANCELED")
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
_LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""
_STATUS = """
query Status($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }
"""
_SELECTOR = {
    "jobName": f"{DATASET.name}_job",
    "repositoryName": "__repository__",
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
        self._run = ""
        self._status = ""

    def begin(self) -> None:
        """Make the repository, and start the job."""
        _commit(_repository(self._stack.root))
        location = self._location()
        params = {
            "selector": _SELECTOR | {"repositoryLocationName": location},
            "runConfigData": {},
        }
        launched = self._ask(_LAUNCH, params=params)["launchRun"]
        if "run" not in launched:
            msg = f"the dataset's job did not start: {launched}"
            raise RuntimeError(msg)
        self._run = launched["run"]["runId"]
        self._say(
            f"  {len(FILES)} CSV files are committed to a Git repository; the"
            f" job of {DATASET.name} is started"
        )

    def look(self) -> bool:
        """Say when the run is over."""
        if not self._status:
            status = self._ask(_STATUS, id=self._run)["runOrError"]["status"]
            if status in ENDED:
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

    def _location(self) -> str:
        query = "{ workspaceOrError { ... on Workspace { locationEntries"
        found = self._ask(f"{query} {{ name }} }} }} }}")
        (entry,) = found["workspaceOrError"]["locationEntries"]
        return str(entry["name"])

    def _ask(self, query: str, **variables: Any) -> Any:
        answer = httpx.post(
            f"{self._stack.webserver.url}/graphql",
            json={"query": query, "variables": variables},
            timeout=TIMEOUT_SECONDS,
            trust_env=False,
        )
        return answer.raise_for_status().json()["data"]


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
