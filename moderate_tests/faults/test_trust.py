"""DIDs and proofs: whatever is killed, nothing is lost or done twice.

Ticks and runs are processes that kill themselves at a boundary. What the
trust service was asked is read from the ledger of the emulated platform: one
call that succeeds for each user and object. A second call is only made where
a run was killed, or the API, while the first was under way; its effect is
discarded.
"""

import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from moderate.flows.asset_proofs.plan import CURSOR
from moderate.inbox.cursors import CorruptCursorError, forget_cursor
from moderate.inbox.model import State
from moderate.local.platform_api.second_calls import Why
from moderate.local.services.platform_api import PlatformApi
from moderate_tests.faults.conftest import SUMMARY
from moderate_tests.faults.trust_process import IN_RUNS, IN_TICKS
from moderate_tests.integration.flows.conftest import (
    as_user,
    empty_inbox,
    no_reports,
    service,
    settings,
)
from moderate_tests.integration.flows.platform import Service, environment
from moderate_tests.integration.flows.trust import ACCOUNT, Trust
from moderate_tests.integration.flows.waiting import meanwhile

__all__ = ["as_user", "empty_inbox", "no_reports", "service", "settings"]

pytestmark = pytest.mark.services

USERS = 20
OBJECTS = 20
OWNED = 5
SEEDED_KILLS = 40
AT_ONCE = 8


@pytest.fixture
def trust(service: Service) -> Trust:
    return Trust(service)


@pytest.fixture
def tell(
    record_property: Callable[[str, object], None],
) -> Callable[[str], None]:
    """Say something in the summary of all tests."""
    return lambda text: record_property(SUMMARY, text)


def bring_in(trust: Trust) -> None:
    """Let users and objects be there, some of whose owners lack a DID."""
    trust.service.faults(task_seconds=0.05)
    trust.add_users(*(f"user-{number}" for number in range(USERS)), "alice")
    trust.seed(OBJECTS)
    trust.seed(OWNED, owner="alice", prefix="hers")


def killed(name: str, count: int, *what: str) -> bool:
    """Run a process that kills itself; say whether it came to that."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "moderate_tests.faults.trust_process"),
            *(name, str(count), *what),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr[-3000:]
    return done.returncode != 0


def kill_runs(trust: Trust, name: str, count: int) -> int:
    """Carry out all batches that are asked for; return the kills."""
    kills = 0
    for wanted in trust.dispatch():
        ((op, config),) = wanted.run_config["ops"].items()
        batch = str(config["config"]["batch_id"])
        if killed(name, count, "run", str(wanted.job_name), op, batch):
            kills += 1
            let_slots_pass(trust)
    return kills


def let_slots_pass(trust: Trust) -> None:
    """Let the time of a dead run's slots be over; its tasks are quick."""
    trust.service.sql(
        "UPDATE peer_slot SET expires_at = clock_timestamp() - interval '1 s'"
    )


def let_time_pass(trust: Trust) -> None:
    """Let heartbeats be missed and slots pass, and a tick look at it."""
    trust.service.let_hours_pass()
    let_slots_pass(trust)
    trust.settle()
    trust.service.let_waiting_be_due()


def assert_all_even(trust: Trust, kills: int) -> str:
    """Hold that all is done once; return the summary."""
    for _ in range(20):
        trust.tick()
        trust.work()
        let_time_pass(trust)
        if not trust.open_items():
            break
    assert {item.state for item in trust.users()} == {State.DONE}
    assert {item.state for item in trust.proofs()} == {State.DONE}
    assert len(trust.users()) == USERS + 2
    assert len(trust.proofs()) == OBJECTS + OWNED
    ledger = trust.ledger()
    effects = Counter(
        (call["kind"], call["subject"])
        for call in ledger["trust_calls"]
        if call["outcome"] == "succeeded"
    )
    assert set(effects.values()) == {1}, "an effect was doubled"
    assert len(effects) == USERS + 2 + OBJECTS + OWNED, "one was lost"
    calls: Mapping[str, int] = {
        **ledger["trust_calls_by_user"],
        **ledger["trust_calls_by_object"],
    }
    second = ledger["second_calls"]
    assert len(second) == sum(calls.values()) - len(calls)
    assert len(second) <= AT_ONCE * kills, "nobody was killed meanwhile"
    assert {each["why"] for each in second} <= {Why.UNDER_WAY}
    assert ledger["max_tasks_in_flight"] <= AT_ONCE
    return summary(kills, second)


def summary(kills: int, second: Sequence[Mapping[str, Any]]) -> str:
    """Say what the kills came to, and explain each second call."""
    lines = [
        f"kills {kills}, lost 0, doubled 0, second calls {len(second)}",
        *(
            f"  {each['kind']} of {each['subject']}: task {each['task_id']}"
            f" after task {each['first_task_id']}, as {each['why']} when its"
            " run was killed"
            for each in second
        ),
    ]
    return "\n".join(lines)


@pytest.mark.parametrize("name", ["asked", "known"])
def test_a_run_killed_in_mid_batch_loses_and_doubles_nothing(
    trust: Trust, tell: Callable[[str], None], name: str
) -> None:
    bring_in(trust)
    trust.tick()
    kills = kill_runs(trust, name, 5)
    assert kills
    let_time_pass(trust)
    tell(assert_all_even(trust, kills))


def test_a_tick_killed_before_its_commit_loses_nothing(
    trust: Trust, tell: Callable[[str], None]
) -> None:
    bring_in(trust)
    assert killed("cursor-moved", 1, "tick")
    assert trust.proofs() == []
    tell(assert_all_even(trust, kills=0))


@pytest.mark.full
@pytest.mark.parametrize("name", [*IN_TICKS, *IN_RUNS])
def test_whatever_boundary_a_process_dies_at_nothing_is_lost(
    trust: Trust, tell: Callable[[str], None], name: str
) -> None:
    bring_in(trust)
    kills = 0
    if name in IN_TICKS:
        killed(name, 1, "tick")
    else:
        trust.tick()
        kills = kill_runs(trust, name, 1)
        assert kills
        let_time_pass(trust)
    tell(assert_all_even(trust, kills))


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(4))
def test_many_kills_at_random_boundaries_lose_and_double_nothing(
    trust: Trust, tell: Callable[[str], None], seed: int
) -> None:
    """A killed run counts a failure of what it had begun: no item may die
    of that here.
    """
    chance = random.Random(seed)
    generous = {
        "USER_DIDS_MAX_FAILURES": "1000",
        "ASSET_PROOFS_MAX_FAILURES": "1000",
    }
    with environment(generous):
        bring_in(trust)
        kills = 0
        for _ in range(SEEDED_KILLS // 4):
            name = chance.choice([*IN_TICKS, *IN_RUNS])
            count = chance.randint(1, 12)
            if name in IN_TICKS:
                killed(name, 1, "tick")
            else:
                trust.tick()
                kills += kill_runs(trust, name, count)
            let_time_pass(trust)
        tell(assert_all_even(trust, kills))


def test_an_api_killed_in_mid_task_is_asked_again_when_it_is_back(
    trust: Trust, platform_api: PlatformApi
) -> None:
    """The tasks that it died with never end; none counts as a failure."""
    trust.service.faults(task_seconds=60)
    names = [f"user-{number}" for number in range(12)]
    trust.add_users(*names)

    def restart() -> None:
        platform_api.kill()
        platform_api.start()

    with (
        environment({"API_TASK_TIMEOUT_SECONDS": "3"}),
        meanwhile(lambda: len(trust.ledger()["trust_calls"]) == 8, restart),
    ):
        (result,) = trust.work()
    assert result.success
    assert {item.state for item in trust.users()} == {State.DONE}
    assert {item.failures for item in trust.users()} == {0}
    ledger = trust.ledger()
    outcomes = Counter(call["outcome"] for call in ledger["trust_calls"])
    # Those that were under way have a second call, and only those.
    assert outcomes == {"succeeded": 12, "running": 8}
    whys = Counter(each["why"] for each in ledger["second_calls"])
    assert whys == {Why.API_DIED: 8}
    assert ledger["max_tasks_in_flight"] <= AT_ONCE


def test_tokens_that_expire_in_mid_batch_cost_nothing(
    trust: Trust,
) -> None:
    names = [f"user-{number}" for number in range(60)]
    trust.service.faults(token_lifetime_seconds=2, task_seconds=0.3)
    trust.add_users(*names)
    (result,) = trust.work()
    assert result.success
    assert {item.state for item in trust.users()} == {State.DONE}
    assert {item.failures for item in trust.users()} == {0}
    assert trust.ledger()["trust_calls_by_user"] == dict.fromkeys(names, 1)


def test_a_cursor_row_that_is_damaged_is_a_clear_error_and_can_be_mended(
    trust: Trust,
) -> None:
    bring_in(trust)
    trust.tick()
    trust.service.sql(
        """UPDATE cursor SET value = '{"head": "far"}'"""
        f" WHERE name = '{CURSOR}'"
    )
    with pytest.raises(CorruptCursorError, match="forget-cursor"):
        trust.tick()
    trust.seed(1, prefix="late")
    inbox = trust.service.inbox
    with inbox.transaction() as conn:
        assert forget_cursor(conn, CURSOR)
    trust.tick()
    assert len(trust.proofs()) == OBJECTS + OWNED + 1


def test_a_clock_that_is_set_back_loses_no_object(trust: Trust) -> None:
    trust.seed(3)
    trust.tick()
    trust.service.sql(
        "UPDATE cursor SET value = value || jsonb_build_object("
        "'marked_at', clock_timestamp() + interval '1 day',"
        "'reconciled_at', clock_timestamp() + interval '1 day')"
    )
    trust.seed(2, prefix="late")
    trust.tick()
    assert len(trust.proofs()) == 5
    trust.work_until_quiet()
    assert {item.state for item in trust.proofs()} == {State.DONE}
    assert trust.user(ACCOUNT).state is State.DONE
