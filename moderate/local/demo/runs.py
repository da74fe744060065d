"""Runs of jobs, asked for as a click in Dagster's UI asks for them."""

from collections.abc import Mapping
from typing import Any

import httpx

TIMEOUT_SECONDS = 10.0
ENDED = ("SUCCESS", "FAILURE", "CANCELED")
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


class Runs:
    """The runs of a stack.

    Args:
        url: Of Dagster's webserver.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def launch(
        self,
        job: str,
        config: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Start a job, and return its run's id.

        Args:
            job: Its name.
            config: Of the run.
            tags: Of the run, besides the job's own.

        Raises:
            RuntimeError: It did not start.
        """
        selector = {
            "jobName": job,
            "repositoryName": "__repository__",
            "repositoryLocationName": self.location,
        }
        pairs = [{"key": k, "value": v} for k, v in (tags or {}).items()]
        params = {
            "selector": selector,
            "runConfigData": config or {},
            "executionMetadata": {"tags": pairs},
        }
        launched = self._ask(_LAUNCH, params=params)["launchRun"]
        if "run" not in launched:
            msg = f"{job} did not start: {launched}"
            raise RuntimeError(msg)
        return str(launched["run"]["runId"])

    def ended(self, run_id: str) -> str | None:
        """Return how a run ended; ``None``: it has not."""
        status = self.status(run_id)
        return status if status in ENDED else None

    def status(self, run_id: str) -> str:
        """Return how a run stands, as Dagster has it."""
        return str(self._ask(_STATUS, id=run_id)["runOrError"]["status"])

    @property
    def location(self) -> str:
        """The name of the one code location."""
        query = "{ workspaceOrError { ... on Workspace { locationEntries"
        found = self._ask(f"{query} {{ name }} }} }} }}")
        (entry,) = found["workspaceOrError"]["locationEntries"]
        return str(entry["name"])

    def _ask(self, query: str, **variables: Any) -> Any:
        answer = httpx.post(
            f"{self._url}/graphql",
            json={"query": query, "variables": variables},
            timeout=TIMEOUT_SECONDS,
            trust_env=False,
        )
        return answer.raise_for_status().json()["data"]
