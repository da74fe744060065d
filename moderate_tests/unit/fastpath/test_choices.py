"""Which launcher a run has, which id, and which code a worker has."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from dagster import DagsterInstance, RunRequest, job, op, sensor
from dagster._core.storage.tags import SENSOR_NAME_TAG
from dagster._core.test_utils import MockedRunLauncher, instance_for_test

from moderate.fastpath import code, tags
from moderate.fastpath.launcher import ByTagRunLauncher, WarmRunLauncher
from moderate.fastpath.submitting import on_behalf_of, run_id_of
from moderate.flows.tags import BATCH
from moderate.inbox.database import InboxUnavailableError
from moderate.inbox.model import Dispatch
from moderate.settings import GROUPS
from moderate_tests.ports import CLOSED_PORT

LAUNCHER = {
    "module": "moderate.fastpath.launcher",
    "class": "ByTagRunLauncher",
    "config": {
        "other": {
            "module": "dagster._core.test_utils",
            "class": "MockedRunLauncher",
            "config": {},
        }
    },
}


@op
def nothing() -> None:
    """Nothing."""


@job
def nothing_job() -> None:
    nothing()


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with instance_for_test(overrides={"run_launcher": LAUNCHER}) as found:
        yield found


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, False),
        ({BATCH: "1"}, True),
        ({BATCH: "1", tags.LAUNCHER: "other"}, False),
        ({tags.LAUNCHER: "warm"}, True),
    ],
)
def test_runs_of_the_inbox_are_warm_unless_their_tag_says_otherwise(
    given: Mapping[str, str], *, expected: bool
) -> None:
    assert tags.is_warm(given) is expected


@pytest.mark.parametrize(
    ("text", "expected"), [("3", 3), ("-1", -1), ("soon", 0)]
)
def test_a_priority_that_is_no_number_is_none(
    text: str, expected: int
) -> None:
    assert tags.priority({tags.PRIORITY: text}) == expected


def test_a_run_that_is_not_warm_goes_to_the_other_launcher(
    instance: DagsterInstance,
) -> None:
    """Without any setting of ours: nothing of the inbox is asked for."""
    run = instance.create_run_for_job(
        nothing_job, tags={BATCH: "1", tags.LAUNCHER: "other"}
    )
    instance.launch_run(run.run_id, None)  # type: ignore[arg-type]
    launcher = instance.run_launcher
    assert isinstance(launcher, ByTagRunLauncher)
    other = launcher._other
    assert isinstance(other, MockedRunLauncher)
    launched = other.queue()  # type: ignore[no-untyped-call]
    assert [each.run_id for each in launched] == [run.run_id]


def test_the_launcher_needs_the_settings_of_postgres_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Web server and daemon, which load it, are given no other secret."""
    for group in GROUPS.values():
        for name in group.variables():
            monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("POSTGRES_HOST", "127.0.0.1")
    monkeypatch.setenv("POSTGRES_PORT", str(CLOSED_PORT))
    monkeypatch.setenv("POSTGRES_USERNAME", "moderate")
    monkeypatch.setenv("POSTGRES_PASSWORD", "example")
    # Without its password, which the settings as a whole would refuse.
    monkeypatch.setenv("API_USERNAME", "workflows")
    with pytest.raises(InboxUnavailableError):
        WarmRunLauncher().check_run_worker_health(
            nothing_job.execute_in_process().dagster_run
        )


@sensor(job=nothing_job)
def a_sensor() -> None:
    """Nothing."""


def test_a_run_bears_the_name_of_the_sensor_that_would_ask_for_it() -> None:
    """By that and the run key the daemon knows that it was asked for."""
    made = RunRequest(run_key="event:1:1", job_name="a", tags={BATCH: "1"})
    makers = on_behalf_of(a_sensor, {"event": lambda _: made})
    dispatch = Dispatch(1, "event", "event:1:1", 1, 1, "1", 1)
    request = makers["event"](dispatch)
    assert request.tags == {BATCH: "1", SENSOR_NAME_TAG: "a_sensor"}
    assert request.run_key == made.run_key


def test_the_id_of_a_batchs_run_is_the_same_for_ever() -> None:
    """Another id would have a batch's run created twice."""
    assert run_id_of("event:1:1") == "605989f1-b8b5-5941-aa2b-577ee736c554"
    assert run_id_of("event:1:1") != run_id_of("event:1:2")


def test_a_changed_file_is_other_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "a_location"
    package.mkdir()
    file = package / "__init__.py"
    file.write_text("defs = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = code.fingerprint("a_location.part")
    assert code.fingerprint("a_location.part") == before
    os.utime(file, ns=(1, 1))
    assert code.fingerprint("a_location.part") != before
