"""Intakes: killed at each step, and racing each other and a sensor."""

import threading
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import pytest
import yaml

from moderate.flows.ticks import requests
from moderate.inbox.model import NewItem
from moderate.inbox.store import Inbox
from moderate.local import ports
from moderate_tests.integration.fastpath.intake_process import STEPS
from moderate_tests.integration.fastpath.jobs import EVENT, work_request
from moderate_tests.integration.fastpath.rig import MODULE, Rig

INTAKE = "moderate_tests.integration.fastpath.intake_process"
SENSOR_SECONDS = 0.5
PATIENCE_SECONDS = 120.0
DONE = "SELECT count(*) AS n FROM work_item WHERE state = 'done'"
OPEN = "SELECT count(*) AS n FROM work_item WHERE state <> 'done'"


@pytest.fixture(scope="module")
def workspace(rig: Rig) -> Iterator[str]:
    """A code server and a worker; the file that names the first."""
    port = ports.free_port()
    where = ("--host", "127.0.0.1", "--port", str(port))
    rig.start(
        *("-m", "dagster", "api", "grpc", *where, "--module-name", MODULE)
    )
    rig.start_worker()
    rig.until(lambda: ports.is_open(port), "the code server listens")
    file = rig.folder / "workspace.yaml"
    server = {"host": "127.0.0.1", "port": port, "location_name": "here"}
    file.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}))
    yield str(file)
    rig.stop_all()


@pytest.fixture
def inbox(rig: Rig) -> Inbox:
    return Inbox(rig.where, [EVENT])


def record(rig: Rig, inbox: Inbox, prefix: str, number: int) -> list[str]:
    keys = [f"{prefix}-{each}" for each in range(number)]
    payload = {"file": str(rig.folder / "worked")}
    with inbox.transaction() as conn:
        inbox.record(conn, [NewItem(EVENT.name, key, payload) for key in keys])
    return keys


def count(inbox: Inbox, query: str) -> int:
    with inbox.transaction() as conn:
        row = conn.execute(query.encode()).fetchone()
    assert row
    return int(row["n"])


def until_done(rig: Rig, inbox: Inbox, within: float) -> None:
    rig.until(lambda: not count(inbox, OPEN), "all items are done", within)


def worked(rig: Rig) -> Counter[str]:
    return Counter((rig.folder / "worked").read_text().splitlines())


@pytest.mark.parametrize("step", STEPS)
def test_an_intake_that_is_killed_at_a_step_loses_nothing(
    rig: Rig, inbox: Inbox, workspace: str, step: str
) -> None:
    (key,) = record(rig, inbox, step, 1)
    first = rig.start("-m", INTAKE, workspace, step)
    assert first.wait(PATIENCE_SECONDS) == -9
    second = rig.start("-m", INTAKE, workspace)
    until_done(rig, inbox, PATIENCE_SECONDS)
    assert worked(rig)[key] == 1
    (run,) = rig.runs_of(key, inbox)
    assert rig.until_over(run.run_id) == "SUCCESS"
    assert run.remote_job_origin
    assert run.remote_job_origin.location_name == "here"
    second.kill()
    second.wait()


@pytest.mark.parametrize(
    "number",
    [
        30,
        pytest.param(
            1000, marks=[pytest.mark.full, pytest.mark.timeout(1800)]
        ),
    ],
)
def test_two_intakes_and_a_sensor_do_each_event_once(
    rig: Rig, inbox: Inbox, workspace: str, number: int
) -> None:
    keys = record(rig, inbox, f"race-{number}", number)
    over = threading.Event()

    def tick() -> None:
        asked: set[str | None] = set()  # the daemon asks once for a run key
        while not over.wait(SENSOR_SECONDS):
            for request in requests(inbox, {EVENT.name: work_request}):
                if request.run_key not in asked:
                    asked.add(request.run_key)
                    rig.launch_request(request)

    sensor = threading.Thread(target=tick)
    intakes = [rig.start("-m", INTAKE, workspace) for _ in range(2)]
    sensor.start()
    try:
        until_done(rig, inbox, PATIENCE_SECONDS + 2 * number)
    finally:
        over.set()
        sensor.join()
        for each in intakes:
            each.kill()
            each.wait()
    done = worked(rig)
    assert [done[key] for key in keys] == [1] * number


def test_an_item_that_becomes_due_is_started_without_being_told(
    rig: Rig, inbox: Inbox, workspace: str
) -> None:
    """NOTIFY does not fire when time passes."""
    (key,) = record(rig, inbox, "later", 1)
    with inbox.transaction() as conn:
        conn.execute(
            "UPDATE work_item SET next_attempt_at = clock_timestamp() + %s"
            " WHERE key = %s",
            [timedelta(seconds=3), key],
        )
    intake = rig.start("-m", INTAKE, workspace)
    until_done(rig, inbox, PATIENCE_SECONDS)
    assert worked(rig)[key] == 1
    intake.kill()
    intake.wait()


def test_a_batch_that_a_sensor_has_asked_for_is_left_to_its_run(
    rig: Rig, inbox: Inbox, workspace: str
) -> None:
    """Or a run that a person cancels in the queue would go on as another."""
    (asked,) = record(rig, inbox, "asked", 1)
    (request,) = requests(inbox, {EVENT.name: work_request})
    run_id = rig.create_request(request)
    (other,) = record(rig, inbox, "other", 1)
    intake = rig.start("-m", INTAKE, workspace)
    rig.until(lambda: worked(rig)[other], "the intake has looked")
    assert [run.run_id for run in rig.runs_of(asked, inbox)] == [run_id]
    rig.instance.launch_run(run_id, None)  # type: ignore[arg-type]
    until_done(rig, inbox, PATIENCE_SECONDS)
    intake.kill()
    intake.wait()
