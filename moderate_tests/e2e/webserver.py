"""Dagster as a person has it: the queries that its pages make."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from tenacity import (
    retry,
    retry_if_exception_type,
    stop_after_delay,
    wait_fixed,
)

TIMEOUT_SECONDS = 60.0
OVER = frozenset({"SUCCESS", "FAILURE", "CANCELED"})

RUNS = """query ($filter: RunsFilter) { runsOrError(filter: $filter) {
  __typename ... on Runs { results {
    runId jobName status runConfigYaml tags { key value }
  } }
} }"""
MESSAGES = """query ($id: ID!) { runOrError(runId: $id) {
  __typename ... on Run { eventConnection { events {
    ... on MessageEvent { message }
  } } }
} }"""
LOCATIONS = """{ workspaceOrError { __typename ... on Workspace {
  locationEntries { name locationOrLoadError { __typename } }
} } }"""
TICKS = """query ($sensor: SensorSelector!, $limit: Int) {
  sensorOrError(sensorSelector: $sensor) { __typename ... on Sensor {
    sensorState { ticks(limit: $limit) {
      status skipReason timestamp endTimestamp runIds error { message }
    } }
  } }
}"""
START = """mutation ($sensor: SensorSelector!) {
  startSensor(sensorSelector: $sensor) { __typename }
}"""
RESET = """mutation ($sensor: SensorSelector!) {
  resetSensor(sensorSelector: $sensor) { __typename }
}"""
TERMINATE = """mutation ($id: String!, $policy: TerminateRunPolicy) {
  terminateRun(runId: $id, terminatePolicy: $policy) { __typename }
}"""
REEXECUTE = """mutation ($id: String!) {
  launchRunReexecution(
    reexecutionParams: {parentRunId: $id, strategy: ALL_STEPS}
  ) { __typename ... on LaunchRunSuccess { run { runId } } }
}"""

REPEATABLE = frozenset({START, RESET})
"""Changes that may be asked for twice."""

# After a restart of Postgres each pooled connection of the webserver fails
# once: a person loads the page again.
_RELOADED = retry(
    retry=retry_if_exception_type(httpx.HTTPStatusError),
    stop=stop_after_delay(20),
    wait=wait_fixed(0.2),
    reraise=True,
)
_PID = re.compile(r"Started process for run \(pid: (\d+)\)")


@dataclass(frozen=True)
class Run:
    """A run, as the page of runs shows it."""

    id: str
    job: str
    status: str
    config: str
    tags: Mapping[str, str]

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.status in OVER


@dataclass(frozen=True)
class Tick:
    """A look of a sensor, as its page shows it."""

    status: str
    skip_reason: str | None
    timestamp: float
    ended: float | None
    run_ids: Sequence[str]
    error: str | None


class WebserverUI:
    """The webserver's GraphQL at ``url``."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/graphql"

    def runs(self, **tags: str) -> list[Run]:
        """Return the runs that have these tags, the latest first."""
        wanted = [{"key": key, "value": tags[key]} for key in tags]
        found = self._ask(RUNS, {"filter": {"tags": wanted}}, "runsOrError")
        return [
            Run(
                id=each["runId"],
                job=each["jobName"],
                status=each["status"],
                config=each["runConfigYaml"],
                tags={tag["key"]: tag["value"] for tag in each["tags"]},
            )
            for each in found["results"]
        ]

    def runs_of(self, job_id: int) -> list[Run]:
        """Return the runs for a job of the platform, the latest first."""
        return self.runs(workflow_job_id=str(job_id))

    def run(self, run_id: str) -> Run:
        """Return a run."""
        (found,) = self.runs_by_id(run_id)
        return found

    def runs_by_id(self, run_id: str) -> list[Run]:
        """Return the run of an id, if there is one."""
        return [each for each in self.runs() if each.id == run_id]

    def process_of(self, run: Run) -> int | None:
        """Return the process number of a run, once it was started."""
        found = self._ask(MESSAGES, {"id": run.id}, "runOrError")
        for event in found["eventConnection"]["events"]:
            if match := _PID.search(event.get("message", "")):
                return int(match[1])
        return None

    def terminate(self, run: Run, *, by_force: bool = False) -> None:
        """Click on "Terminate", by force with its box ticked."""
        policy = "MARK_AS_CANCELED_IMMEDIATELY" if by_force else None
        answer = self._ask(
            TERMINATE, {"id": run.id, "policy": policy}, "terminateRun"
        )
        assert answer["__typename"] == "TerminateRunSuccess", answer

    def reexecute(self, run: Run) -> str:
        """Click on "Re-execute all"; return the new run's id."""
        answer = self._ask(REEXECUTE, {"id": run.id}, "launchRunReexecution")
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def location(self) -> str:
        """Return the name of the one code location."""
        (entry,) = self._locations()
        return str(entry["name"])

    def ticks(self, sensor: str, limit: int = 5) -> list[Tick]:
        """Return a sensor's latest ticks, the latest first."""
        selector = self._selector(sensor)
        found = self._ask(
            TICKS, {"sensor": selector, "limit": limit}, "sensorOrError"
        )
        return [
            Tick(
                status=each["status"],
                skip_reason=each["skipReason"],
                timestamp=each["timestamp"],
                ended=each["endTimestamp"],
                run_ids=each["runIds"],
                error=each["error"] and each["error"]["message"],
            )
            for each in found["sensorState"]["ticks"]
        ]

    def start_sensor(self, sensor: str) -> None:
        """Switch a sensor on."""
        self._switch(START, sensor, "startSensor")

    def reset_sensor(self, sensor: str) -> None:
        """Have a sensor on or off again as its definition says."""
        self._switch(RESET, sensor, "resetSensor")

    def _switch(self, change: str, sensor: str, field: str) -> None:
        answer = self._ask(change, {"sensor": self._selector(sensor)}, field)
        assert answer["__typename"] == "Sensor", answer

    def _selector(self, sensor: str) -> dict[str, str]:
        return {
            "repositoryLocationName": self.location(),
            "repositoryName": "__repository__",
            "sensorName": sensor,
        }

    def _post(self, request: Mapping[str, Any]) -> httpx.Response:
        answer = httpx.post(
            self._url,
            json=request,
            timeout=TIMEOUT_SECONDS,
            trust_env=False,
        )
        return answer.raise_for_status()

    def _locations(self) -> list[dict[str, Any]]:
        found = self._ask(LOCATIONS, {}, "workspaceOrError")
        entries: list[dict[str, Any]] = found["locationEntries"]
        return entries

    def _ask(
        self, query: str, variables: Mapping[str, Any], field: str
    ) -> dict[str, Any]:
        request = {"query": query, "variables": variables}
        is_change = query.startswith("mutation") and query not in REPEATABLE
        post = self._post if is_change else _RELOADED(self._post)
        document = post(request).json()
        assert "errors" not in document, document["errors"]
        found: dict[str, Any] = document["data"][field]
        return found
