"""However an attempt ends, the launcher says so and nothing is left."""

from datetime import timedelta

import pytest

from moderate.analyses.launcher import (
    Absent,
    AnalysisSpec,
    AttemptRunningError,
    Finished,
    Launcher,
    Limits,
    Running,
    wait_until_finished,
)
from moderate.analyses.outcomes import Outcome, Reason, summarise
from moderate_tests.contract.launchers import programs
from moderate_tests.contract.launchers.rig import Bench

LONG = timedelta(seconds=60)
SHORT = timedelta(milliseconds=50)
MEBIBYTE = 2**20


def outcome_of(launcher: Launcher, spec: AnalysisSpec) -> Outcome:
    """Launch an attempt and return how it ended."""
    launcher.launch(spec)
    status = launcher.wait(spec.attempt, LONG)
    assert isinstance(status, Finished)
    return status.outcome


@pytest.mark.parametrize(
    ("code", "reason", "told"),
    [
        (65, Reason.BAD_DATA, "no column"),
        (
            75,
            Reason.TRY_LATER,
            "The analysis could not reach something that it needs: no column",
        ),
        (
            78,
            Reason.BAD_CONFIGURATION,
            "The analysis is not set up correctly: no column",
        ),
        (3, Reason.EXIT_CODE, "The analysis failed: no column"),
    ],
)
def test_an_exit_code_says_why(
    bench: Bench, code: int, reason: Reason, told: str
) -> None:
    launcher = bench.rig.launcher()
    spec = bench.spec(programs.exits(code, "no column"))

    outcome = outcome_of(launcher, spec)

    assert (outcome.reason, outcome.exit_code) == (reason, code)
    log = launcher.logs(spec.attempt, 1000)
    assert summarise(outcome, log) == told


def test_a_crash_says_its_signal(bench: Bench) -> None:
    source = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"

    outcome = outcome_of(bench.rig.launcher(), bench.spec(source))

    assert outcome.reason is Reason.KILLED
    assert "SIGSEGV" in outcome.detail


def test_a_command_that_is_not_there_could_not_start(bench: Bench) -> None:
    spec = bench.spec("", command=("no-such-program",))

    outcome = outcome_of(bench.rig.launcher(), spec)

    assert outcome.reason is Reason.COULD_NOT_START
    assert "no-such-program" in outcome.detail


def test_one_that_eats_memory_is_ended(bench: Bench) -> None:
    limits = Limits(memory_bytes=96 * MEBIBYTE)
    spec = bench.spec(programs.EAT_MEMORY, limits=limits)

    outcome = outcome_of(bench.rig.launcher(), spec)

    assert outcome.reason is Reason.OUT_OF_MEMORY


def test_an_allocation_that_is_refused_is_out_of_memory(
    bench: Bench,
) -> None:
    spec = bench.spec("bytearray(2**55)")

    outcome = outcome_of(bench.rig.launcher(), spec)

    assert outcome.reason is Reason.OUT_OF_MEMORY


def test_one_that_takes_too_long_is_ended(bench: Bench) -> None:
    """Also one that would call its end on SIGTERM a success."""
    lock = bench.rig.evidence / "lock"
    source = programs.holds(lock, programs.ENDS_ON_TERM)
    spec = bench.spec(source, timeout=timedelta(seconds=1))

    outcome = outcome_of(bench.rig.launcher(), spec)

    assert outcome.reason is Reason.TIMED_OUT
    assert not programs.is_held(lock)


def test_what_is_told_to_end_may_do_so_by_itself(bench: Bench) -> None:
    lock = bench.rig.evidence / "lock"
    source = programs.holds(
        lock,
        # Not by `print`: the signal may come while that is at work.
        "def end(*_):\n    os.write(1, b'put away\\n')\n    sys.exit(0)\n",
        "signal.signal(signal.SIGTERM, end)\n",
    )
    spec = bench.spec(source)
    launcher = bench.rig.launcher()
    launcher.launch(spec)
    programs.until(lambda: b"up" in launcher.logs(spec.attempt, 1000))

    launcher.stop(spec.attempt)

    assert launcher.logs(spec.attempt, 1000) == b"up\nput away\n"


def test_stopping_ends_everything_that_was_begun(bench: Bench) -> None:
    """Deaf to SIGTERM, in another session, with another environment."""
    lock = bench.rig.evidence / "lock"
    child = bench.rig.evidence / "child"
    source = programs.holds(
        lock, programs.IGNORE_TERM, programs.has_escaped_child(child)
    )
    spec = bench.spec(source, stop_grace=timedelta(seconds=0.2))
    launcher = bench.rig.launcher()
    launcher.launch(spec)
    programs.until(lambda: b"up" in launcher.logs(spec.attempt, 1000))
    assert programs.is_held(child)

    bench.rig.launcher().stop(spec.attempt)

    assert not programs.is_held(lock)
    assert not programs.is_held(child)
    stopped = Finished(Outcome(Reason.STOPPED))
    assert launcher.status(spec.attempt) == stopped


def test_nothing_outlives_the_command(bench: Bench) -> None:
    child = bench.rig.evidence / "child"
    held = bench.rig.evidence / "held"
    source = programs.HOLD.format(path=str(held))
    source += programs.has_escaped_child(child)
    launcher = bench.rig.launcher()

    outcome = outcome_of(launcher, bench.spec(source))

    assert outcome.succeeded
    assert child.exists()
    assert not programs.is_held(child)


def test_stopping_what_has_finished_changes_nothing(bench: Bench) -> None:
    launcher = bench.rig.launcher()
    spec = bench.spec("print('done')")
    outcome = outcome_of(launcher, spec)

    launcher.stop(spec.attempt)

    assert launcher.status(spec.attempt) == Finished(outcome)


def test_a_long_log_keeps_its_head_and_its_last_line(bench: Bench) -> None:
    source = """
print("first line")
for _ in range(400):
    print("x" * 50_000)
print("last line")
"""
    launcher = bench.rig.launcher()
    spec = bench.spec(source)
    outcome_of(launcher, spec)

    log = launcher.logs(spec.attempt, 10_000)

    assert len(log) <= 10_000
    assert log.startswith(b"first line\n")
    assert log.endswith(b"x\nlast line\n")
    assert b"left out" in log


def test_the_log_can_be_read_while_it_runs(bench: Bench) -> None:
    launcher = bench.rig.launcher()
    lock = bench.rig.evidence / "lock"
    spec = bench.spec(programs.holds(lock))
    launcher.launch(spec)

    programs.until(lambda: launcher.logs(spec.attempt, 1000) == b"up\n")

    assert isinstance(launcher.status(spec.attempt), Running)


def test_cleaning_up_leaves_nothing_and_may_be_repeated(
    bench: Bench,
) -> None:
    launcher = bench.rig.launcher()
    spec = bench.spec("print('done')")
    outcome_of(launcher, spec)

    launcher.clean_up(spec.attempt)
    bench.rig.launcher().clean_up(spec.attempt)

    assert launcher.status(spec.attempt) == Absent()
    assert launcher.logs(spec.attempt, 1000) == b""
    assert launcher.all_attempts() == []


def test_what_runs_is_not_cleaned_up(bench: Bench) -> None:
    launcher = bench.rig.launcher()
    lock = bench.rig.evidence / "lock"
    spec = bench.spec(programs.holds(lock))
    launcher.launch(spec)
    programs.until(lambda: programs.is_held(lock))

    with pytest.raises(AttemptRunningError):
        launcher.clean_up(spec.attempt)

    # It runs a moment before its place to run says so.
    programs.until(lambda: isinstance(launcher.status(spec.attempt), Running))
    assert programs.is_held(lock)


def test_waiting_gives_up_in_time(bench: Bench) -> None:
    launcher = bench.rig.launcher()
    spec = bench.spec(programs.holds(bench.rig.evidence / "lock"))
    launcher.launch(spec)

    status = launcher.wait(spec.attempt, SHORT)

    assert not isinstance(status, Finished | Absent)


class FenceLostError(Exception):
    """Stands for what a heartbeat raises."""


def test_a_beat_that_raises_ends_the_waiting_alone(bench: Bench) -> None:
    """A worker that lost its item stops; the analysis isn't its to end."""
    launcher = bench.rig.launcher()
    lock = bench.rig.evidence / "lock"
    spec = bench.spec(programs.holds(lock))
    launcher.launch(spec)
    programs.until(lambda: programs.is_held(lock))
    beats = []

    def beat() -> None:
        beats.append(1)
        if len(beats) == 3:
            raise FenceLostError

    with pytest.raises(FenceLostError):
        wait_until_finished(launcher, spec.attempt, interval=SHORT, beat=beat)

    assert programs.is_held(lock)


def test_waiting_returns_the_outcome(bench: Bench) -> None:
    launcher = bench.rig.launcher()
    spec = bench.spec("import time; time.sleep(0.3)")
    launcher.launch(spec)
    beats: list[int] = []

    outcome = wait_until_finished(
        launcher, spec.attempt, interval=SHORT, beat=lambda: beats.append(1)
    )

    assert outcome.succeeded
    assert beats


def test_an_attempt_without_a_trace_is_lost(bench: Bench) -> None:
    """Waiting for what somebody removed must not last for ever."""
    spec = bench.spec("")

    outcome = wait_until_finished(
        bench.rig.launcher(),
        spec.attempt,
        interval=LONG,
        beat=lambda: None,
    )

    assert outcome.reason is Reason.LOST
