"""What fails is told, alone, and nothing that is half done looks done."""

from dataclasses import replace

import pytest

from moderate.flows.metadata_ingestion.task import Outcome, Task
from moderate.flows.metadata_ingestion.workshop import Keep, Workshop
from moderate.local.ports import free_port
from moderate.settings import process_settings
from moderate_tests.integration.flows.platform import environment
from moderate_tests.integration.flows.waiting import meanwhile
from moderate_tests.integration.metadata_ingestion.world import (
    World,
    kill_children,
)

pytestmark = pytest.mark.services

MORE_THAN_A_BATCH = "".join(f"CREATE TABLE t{n} (id int);" for n in range(120))
"""Tables that the framework sends in two."""


def test_a_bulk_answer_with_failures_is_no_success_and_others_go_on(
    world: World,
) -> None:
    bad = world.database("bad")
    good = world.database("good", "CREATE TABLE a (id int)")
    world.faults(rows=[{"pattern": f"*{bad}.sales.orders", "status": 500}])
    run = world.ingest()
    assert not run.success
    assert "emulated failure" in run.failure(bad)
    assert "orders" in run.failure(bad)
    assert run.metadata(bad)["failed"] == 1
    assert run.metadata(good)["written"] == 3
    assert run.profile(good)["written"] == 1
    world.faults()
    again = world.ingest()
    assert again.success, again.failures()
    assert again.metadata(bad)["written"] == 1
    assert world.bulk_rows()["table"] == 1
    assert all(good not in step for step in again.steps())


def test_failures_up_to_the_threshold_are_a_success_that_tells(
    world: World,
) -> None:
    bad = world.database("bad")
    world.faults(rows=[{"pattern": f"*{bad}.sales.orders", "status": 500}])
    with environment({"METADATA_MAX_FAILURES": "1"}):
        run = world.ingest()
        assert run.success, run.failures()
        assert run.metadata(bad)["failed"] == 1
        # It is not done for all that.
        world.faults()
        assert world.ingest().metadata(bad)["written"] == 1


def test_an_expired_token_names_the_variable_and_its_renewal(
    world: World,
) -> None:
    world.database("shop", "CREATE TABLE a (id int)")
    world.faults(expired_token=True)
    run = world.ingest()
    (failure,) = run.failures().values()
    assert "OPEN_METADATA_TOKEN" in failure
    assert "Bots" in failure
    assert world.server.token not in failure


def test_a_token_that_expires_in_the_middle_is_told_too(
    world: World,
) -> None:
    name = world.database("shop", "CREATE TABLE a (id int)")
    world.faults(
        routes=[
            {
                "prefix": "/api/v1/databases/bulk",
                "status": 401,
                "message": "Not Authorized! Invalid token.",
            },
            {
                "prefix": "/api/v1/tables/bulk",
                "status": 401,
                "message": "Not Authorized! Invalid token.",
            },
        ]
    )
    run = world.ingest()
    assert not run.success
    assert "OPEN_METADATA_TOKEN" in run.failure(name)
    assert "Bots" in run.failure(name), "how to get another one"


def test_a_server_that_is_down_is_told_and_nothing_is_remembered(
    world: World,
) -> None:
    name = world.database("shop")
    with environment({"OPEN_METADATA_PORT": str(free_port())}):
        (failure,) = world.ingest().failures().values()
        assert "refused" in failure.lower()
    run = world.ingest()
    assert run.success, run.failures()
    assert run.metadata(name)["unchanged"] == 0


def test_a_server_that_goes_down_in_the_middle_is_no_success(
    world: World,
) -> None:
    name = world.database("shop")
    world.faults(routes=[{"prefix": "/api/v1/tables/bulk", "status": 503}])
    run = world.ingest()
    assert not run.success
    assert "sales.orders" in run.failure(name)
    world.faults()
    assert world.ingest().success
    assert len(world.tables(world.service(name))) == 3


def test_a_database_that_drops_before_it_is_read_fails_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = world.database("lost")
    kept = world.database("kept", "CREATE TABLE a (id int)")
    carry_out = Workshop.carry_out

    def dropping(self: Workshop, task: Task, keep: Keep) -> Outcome:
        if task.source.name == lost and lost in world.created:
            world.drop(lost)
        return carry_out(self, task, keep)

    monkeypatch.setattr(Workshop, "carry_out", dropping)
    run = world.ingest()
    assert not run.success
    assert lost in run.failure(lost)
    assert run.profile(kept)["written"] == 1
    again = world.ingest()
    assert again.success, again.failures()


@pytest.mark.parametrize(
    ("written", "killed"),
    [
        ("databases", False),
        pytest.param("tables", False, marks=pytest.mark.full),
        ("tables", True),
    ],
)
def test_of_a_database_that_drops_in_mid_run_nothing_stays(
    world: World, written: str, *, killed: bool
) -> None:
    """Also on its first ingestion, when nothing of it is done yet.

    Who was killed could not even say what had arrived by then.
    """
    lost = world.database("lost", MORE_THAN_A_BATCH)
    world.hold(f"/api/v1/{written}/bulk")

    def drop() -> None:
        world.drop(lost)
        if killed:
            kill_children()
        world.faults()

    with meanwhile(world.is_held, drop):
        run = world.ingest()
    assert not run.success
    assert ("was killed" if killed else lost) in run.failure(lost)
    service = world.service(lost)
    assert world.databases(service)
    again = world.ingest()
    assert again.success, again.failures()
    assert not world.databases(service)
    assert not world.tables(service)
    assert world.ingest().steps() == []


def test_a_role_without_rights_is_noted_and_the_rest_is_profiled(
    world: World,
) -> None:
    name = world.database("shop")
    role = f"{world.prefix}reader"
    world.sql(
        name,
        f"CREATE ROLE {role} LOGIN PASSWORD 'reader-password';"
        "CREATE TABLE public.open (id int); INSERT INTO open VALUES (1);"
        f"GRANT SELECT ON public.open TO {role};",
    )
    settings = process_settings().postgres
    assert settings
    world.sql(
        settings.inbox_database,
        f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}",
    )
    try:
        with environment(
            {
                "POSTGRES_USERNAME": role,
                "POSTGRES_PASSWORD": "reader-password",
            }
        ):
            run = world.ingest()
            assert run.success, run.failures()
            assert run.profile(name)["written"] == 1
            assert "sales.orders" in run.profile(name)["notes"]
            service = world.service(name)
            # The catalogue may be read by everybody.
            assert len(world.tables(service)) == 4
    finally:
        world.sql(settings.inbox_database, f"DROP OWNED BY {role}")
        world.sql(name, f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_a_step_over_its_memory_fails_alone_and_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = world.database("shop", "CREATE TABLE a (id int)")
    carry_out = Workshop.carry_out

    def tight(self: Workshop, task: Task, keep: Keep) -> Outcome:
        limits = replace(task.limits, memory=100 * 1024 * 1024)
        return carry_out(self, replace(task, limits=limits), keep)

    monkeypatch.setattr(Workshop, "carry_out", tight)
    run = world.ingest()
    assert not run.success
    assert "METADATA_MEMORY_LIMIT_MIB" in run.failure(name)
    monkeypatch.undo()
    assert world.ingest().success


def test_a_step_over_its_time_fails_alone_and_says_so(world: World) -> None:
    name = world.database("shop", "CREATE TABLE a (id int)")
    world.faults(routes=[{"prefix": "/api/v1/databases/bulk", "hang": True}])
    with environment({"METADATA_STEP_TIMEOUT_SECONDS": "10"}):
        run = world.ingest()
    assert "METADATA_STEP_TIMEOUT_SECONDS" in run.failure(name)
