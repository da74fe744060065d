"""An attempt starts once, whoever launches it and however often."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from threading import Barrier

import pytest
from pydantic import SecretStr

from moderate.analyses.launcher import (
    Absent,
    AnalysisSpec,
    AttemptId,
    AttemptRunningError,
    Finished,
    Launcher,
    Running,
    Status,
    SupersededError,
    stop_earlier,
)
from moderate.analyses.outcomes import Outcome, Reason
from moderate_tests.contract.launchers import programs
from moderate_tests.contract.launchers.rig import KIND, Bench

LONG = timedelta(seconds=60)
SUCCESS = Finished(Outcome(Reason.SUCCEEDED, exit_code=0))


def run(launcher: Launcher, spec: AnalysisSpec) -> Status:
    """Launch an attempt and wait for its end."""
    launcher.launch(spec)
    return launcher.wait(spec.attempt, LONG)


def test_nothing_is_known_of_an_attempt_that_nobody_launched(
    bench: Bench,
) -> None:
    launcher = bench.rig.launcher()
    attempt = AttemptId(KIND, 7, 1)

    launcher.stop(attempt)
    launcher.clean_up(attempt)

    assert launcher.status(attempt) == Absent()
    assert launcher.wait(attempt, LONG) == Absent()
    assert launcher.logs(attempt, 1000) == b""
    assert launcher.all_attempts() == []


def test_a_prepared_attempt_is_listed_and_does_not_run(bench: Bench) -> None:
    launcher = bench.rig.launcher()
    spec = bench.spec("print('never')")

    launcher.prepare(spec)
    launcher.prepare(spec)

    assert launcher.status(spec.attempt) == Absent()
    assert launcher.attempts(KIND, 1) == [spec.attempt]
    assert launcher.logs(spec.attempt, 1000) == b""


def test_a_launched_command_runs_to_its_end(bench: Bench) -> None:
    launcher = bench.rig.launcher()
    spec = bench.spec("print('a report')")

    assert run(launcher, spec) == SUCCESS
    assert launcher.logs(spec.attempt, 1000) == b"a report\n"


def test_the_command_has_the_given_environment(bench: Bench) -> None:
    source = "import os; print(os.environ['PLAIN'], os.environ['SECRET'])"
    spec = bench.spec(
        source,
        env={"PLAIN": "an open word — ü"},
        secrets={"SECRET": SecretStr("a 'quoted' $secret\nof two lines")},
    )
    launcher = bench.rig.launcher()

    assert run(launcher, spec) == SUCCESS
    log = launcher.logs(spec.attempt, 1000).decode()
    assert log == "an open word — ü a 'quoted' $secret\nof two lines\n"


def test_the_command_knows_nothing_of_the_workers_environment(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker holds every peer's password; an analysis needs few."""
    monkeypatch.setenv("KEYCLOAK_ADMIN_PASSWORD", "canary")
    spec = bench.spec("import os; print(dict(os.environ))")
    launcher = bench.rig.launcher()

    run(launcher, spec)

    log = launcher.logs(spec.attempt, 100_000)
    assert b"PATH" in log
    assert b"canary" not in log
    assert b"KEYCLOAK" not in log


def test_another_worker_adopts_what_runs(bench: Bench) -> None:
    lock = bench.rig.evidence / "lock"
    spec = bench.spec(programs.holds(lock))
    first = bench.rig.launcher().launch(spec)
    programs.until(lambda: programs.is_held(lock))

    second = bench.rig.launcher().launch(spec)

    assert isinstance(second, Running)
    assert not isinstance(first, Running) or first == second


def test_a_finished_attempt_is_not_run_again(bench: Bench) -> None:
    file = bench.rig.evidence / "lines"
    spec = bench.spec(programs.appends(file))
    run(bench.rig.launcher(), spec)

    assert bench.rig.launcher().launch(spec) == SUCCESS
    assert file.read_text() == "once\n"


def test_many_who_launch_at_once_start_one(bench: Bench) -> None:
    file = bench.rig.evidence / "lines"
    spec = bench.spec(programs.appends(file))
    many = 8
    together = Barrier(many)

    def launch(launcher: Launcher) -> Status:
        together.wait()
        return run(launcher, spec)

    with ThreadPoolExecutor(many) as pool:
        workers = [bench.rig.launcher() for _ in range(many)]
        ends = list(pool.map(launch, workers))

    assert ends == [SUCCESS] * many
    assert file.read_text() == "once\n"


def test_an_attempt_does_not_start_beside_an_earlier_one(
    bench: Bench,
) -> None:
    """Rule 5: the old attempt is gone first."""
    lock = bench.rig.evidence / "lock"
    old = bench.spec(programs.holds(lock))
    new = bench.spec("print('new')", dispatch=2)
    launcher = bench.rig.launcher()
    launcher.launch(old)
    programs.until(lambda: programs.is_held(lock))

    with pytest.raises(AttemptRunningError):
        launcher.launch(new)
    launcher.prepare(new)
    earlier = stop_earlier(launcher, new.attempt)

    assert earlier == [old.attempt]
    assert not programs.is_held(lock)
    assert run(launcher, new) == SUCCESS


def test_an_attempt_does_not_start_after_a_later_one(bench: Bench) -> None:
    """A worker that slept through its successor's start does no harm."""
    launcher = bench.rig.launcher()
    file = bench.rig.evidence / "lines"
    late = bench.spec(programs.appends(file))
    run(launcher, bench.spec("print('new')", dispatch=2))

    with pytest.raises(SupersededError):
        launcher.launch(late)

    assert launcher.status(late.attempt) == Absent()
    assert not file.exists()


def test_attempts_of_other_items_run_beside(bench: Bench) -> None:
    locks = [bench.rig.evidence / "a", bench.rig.evidence / "b"]
    launcher = bench.rig.launcher()
    for item, lock in enumerate(locks):
        launcher.launch(bench.spec(programs.holds(lock), item=item))

    for lock in locks:
        programs.until(partial(programs.is_held, lock))


def test_attempts_are_listed_by_item_and_in_order(bench: Bench) -> None:
    launcher = bench.rig.launcher()
    for item, dispatch in ((1, 10), (1, 9), (11, 1)):
        launcher.prepare(bench.spec("", item=item, dispatch=dispatch))

    ours = [AttemptId(KIND, 1, 9), AttemptId(KIND, 1, 10)]
    assert launcher.attempts(KIND, 1) == ours
    assert launcher.attempts("contract-1", 1) == []
    assert launcher.all_attempts() == [*ours, AttemptId(KIND, 11, 1)]
