"""Batches of users and objects get their DIDs and proofs."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from dagster import DagsterInstance, DagsterRunStatus, RunRequest

from moderate.flows.platform_tasks import slots
from moderate.inbox.model import State
from moderate_tests.integration.flows.platform import Service, environment
from moderate_tests.integration.flows.trust import ACCOUNT, Trust, shown
from moderate_tests.integration.flows.waiting import meanwhile

pytestmark = pytest.mark.services


@pytest.fixture
def trust(service: Service) -> Trust:
    return Trust(service)


def test_a_batch_of_users_gets_dids_with_one_call_each(trust: Trust) -> None:
    names = [f"user-{number}" for number in range(30)]
    trust.add_users(*names)
    (result,) = trust.work()
    assert result.success
    assert all(item.state is State.DONE for item in trust.users())
    outcome = trust.user("user-7").outcome
    assert outcome
    assert outcome["did"].startswith("did:")
    ledger = trust.ledger()
    assert ledger["trust_calls_by_user"] == dict.fromkeys(names, 1)
    assert ledger["max_tasks_in_flight"] <= 8
    assert trust.slots() == 0
    assert shown(result)["done"] == 30


def test_odd_usernames_are_users_like_others(trust: Trust) -> None:
    odd = ["münchen ü/ö", "x" * 255, "a already has a DID", "'; DROP \\ --"]
    trust.add_users(*odd)
    trust.work_until_quiet()
    assert {each.state for each in trust.users()} == {State.DONE}
    assert trust.ledger()["trust_calls_by_user"] == dict.fromkeys(odd, 1)


def test_who_has_a_did_already_is_done_without_a_call(trust: Trust) -> None:
    trust.add_users("early")
    trust.work()
    trust.service.sql(
        "UPDATE work_item SET state = 'pending',"
        " finished_at = NULL, outcome = NULL"
    )
    (result,) = trust.work()
    assert shown(result)["already there"] == 1
    assert trust.calls_of("early") == ["succeeded"]
    assert (trust.user("early").outcome or {})["did"]


def test_five_that_always_fail_delay_nobody(trust: Trust) -> None:
    """And they end dead, with the trust service's words as the reason."""
    bad = [f"bad-{number}" for number in range(5)]
    trust.service.faults(tasks=[{"pattern": "bad-*"}], task_seconds=0.01)
    trust.add_users(*bad, *(f"good-{number}" for number in range(20)))
    (result,) = trust.work()
    good = [each for each in trust.users() if each.key.startswith("good")]
    assert all(each.state is State.DONE for each in good)
    assert shown(result)["failed, tried again"] == 5
    assert "500 Internal Server Error" in shown(result)["items"]
    with environment({"USER_DIDS_MAX_FAILURES": "3"}):
        trust.work_until_quiet()
    for name in bad:
        item = trust.user(name)
        assert item.state is State.DEAD
        assert "500 Internal Server Error" in (item.last_error or "")
        assert len(trust.calls_of(name)) == 3


def test_objects_are_found_proven_and_not_asked_for_again(
    trust: Trust,
) -> None:
    """Ownerless ones need the DID of our own account, which is seen to."""
    ids = trust.seed(250)
    trust.service.carry_out(trust.tick())
    assert sorted(int(each.key) for each in trust.proofs()) == ids
    trust.work_until_quiet()
    assert trust.user(ACCOUNT).state is State.DONE
    assert {each.state for each in trust.proofs()} == {State.DONE}
    calls = trust.ledger()["trust_calls_by_object"]
    assert calls == {f"seeded-{number}": 1 for number in range(250)}
    assert trust.tick() == []


def test_a_proof_waits_for_its_owners_did_and_follows_at_once(
    trust: Trust,
) -> None:
    trust.add_users(ACCOUNT)
    trust.work()
    trust.seed(3, owner="alice", prefix="hers")
    trust.add_users("alice")
    trust.service.faults(tasks=[{"pattern": "alice", "times": 1}])
    (proofs,) = trust.service.carry_out(trust.tick())
    assert shown(proofs)["waiting"] == 3
    waiting = trust.proofs()
    assert {each.waits_for for each in waiting} == {trust.user("alice").id}
    assert {each.failures for each in waiting} == {0}
    assert "User alice does not have a DID" in (waiting[0].last_error or "")
    trust.work()  # Her DID fails once: nothing is due but that.
    assert {each.state for each in trust.proofs()} == {State.PENDING}
    assert trust.tick() == []
    trust.service.sql(
        "UPDATE work_item SET next_attempt_at = clock_timestamp()"
        " WHERE kind = 'user_did'"
    )
    trust.work()
    (result,) = trust.service.carry_out(trust.tick())
    assert shown(result)["done"] == 3


def test_a_proof_whose_owners_did_is_dead_is_dead_with_that_reason(
    trust: Trust,
) -> None:
    trust.service.faults(tasks=[{"pattern": "alice"}])
    trust.seed(1, owner="alice", prefix="first")
    trust.add_users("alice", ACCOUNT)
    with environment({"USER_DIDS_MAX_FAILURES": "2"}):
        trust.service.carry_out(trust.tick())
        trust.work_until_quiet()
        (first,) = trust.proofs()
        # One that comes later learns it at its first attempt.
        trust.seed(1, owner="alice", prefix="second")
        trust.service.carry_out(trust.tick())
    second = trust.proofs()[1]
    for item in (first, second):
        assert item.state is State.DEAD
        assert "alice" in (item.last_error or "")
        assert "500 Internal Server Error" in (item.last_error or "")


def test_without_keycloak_a_proof_without_its_owners_did_has_patience(
    trust: Trust,
) -> None:
    trust.seed(1, owner="robot")
    with environment({"ASSET_PROOFS_MAX_FAILURES": "2"}):
        trust.service.carry_out(trust.tick())
        trust.work_until_quiet()
    (item,) = trust.proofs()
    assert item.state is State.DEAD
    assert "Keycloak is not set up" in (item.last_error or "")


def test_an_owner_whose_did_the_platform_lost_is_no_endless_loop(
    trust: Trust,
) -> None:
    trust.add_users("alice", ACCOUNT)
    trust.work()
    trust.service.control("POST", "reset")
    trust.seed(1, owner="alice")
    (result,) = trust.service.carry_out(trust.tick())
    assert shown(result)["failed, tried again"] == 1
    (item,) = trust.proofs()
    assert item.failures == 1


def test_an_object_that_is_gone_is_done(trust: Trust) -> None:
    trust.add_users(ACCOUNT)
    trust.work()
    trust.seed(1)
    wanted = trust.tick()
    trust.service.control("POST", "reset")
    (result,) = trust.service.carry_out(wanted)
    (item,) = trust.proofs()
    assert item.state is State.DONE
    assert shown(result)["gone"] == 1


def test_what_somebody_else_did_meanwhile_is_done(trust: Trust) -> None:
    """The slower task ends with an error, although the DID is there."""
    trust.service.faults(task_seconds=2)
    api = trust.service.as_user(ACCOUNT)
    api.request_did("raced")
    trust.add_users("raced")
    (result,) = trust.work()
    assert trust.user("raced").state is State.DONE
    assert shown(result)["already there"] == 1
    # On a busy machine the first one may have ended before we asked.
    assert trust.calls_of("raced").count("succeeded") == 1


@pytest.mark.parametrize(
    ("fault", "calls"),
    [
        ({"status": 500, "count": 2}, 1),
        ({"status": 409, "count": 1}, 1),
        ({"status": 429, "retry_after_seconds": 1, "count": 1}, 1),
        ({"status": 502, "count": 3}, 1),
        ({"status": 502, "after_effect": True, "count": 1}, 1),
        ({"status": 401, "count": 1}, 1),
        ({"latency_ms": 300, "count": 5}, 1),
    ],
)
def test_an_api_that_answers_badly_for_a_while_costs_nothing_but_time(
    trust: Trust, fault: dict[str, object], calls: int
) -> None:
    trust.service.faults(
        task_seconds=0.01, routes=[{"prefix": "/user/did", **fault}]
    )
    names = [f"user-{number}" for number in range(6)]
    trust.add_users(*names)
    trust.work_until_quiet()
    assert {each.state for each in trust.users()} == {State.DONE}
    by_user = trust.ledger()["trust_calls_by_user"]
    assert by_user == dict.fromkeys(names, calls)


def test_first_requests_that_meet_cost_no_attempt(trust: Trust) -> None:
    """The API answers 409 to the slower one: it is asked again at once."""
    trust.service.faults(
        task_seconds=0.01,
        routes=[
            {
                "prefix": "/user/did",
                "method": "POST",
                "status": 409,
                "count": 2,
            }
        ],
    )
    trust.add_users(*(f"user-{number}" for number in range(4)))
    (result,) = trust.work()
    assert shown(result)["done"] == 4
    assert {each.failures for each in trust.users()} == {0}


def test_a_refusal_is_dead_with_the_reason(
    trust: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An account without rights on one object."""
    trust.add_users("forbidden")
    basic = trust.service.as_user("alice")
    monkeypatch.setattr(
        "moderate.resources.platform_api_client", lambda settings: basic
    )
    trust.work()
    item = trust.user("forbidden")
    assert item.state is State.DEAD
    assert "403 Forbidden" in (item.last_error or "")


def test_a_task_that_never_ends_is_asked_for_again(trust: Trust) -> None:
    """And its slot is held as long as the API may be at work on it."""
    trust.service.faults(tasks=[{"pattern": "stuck", "hang": True}])
    trust.add_users("stuck", "quick")
    with environment(
        {"API_TASK_TIMEOUT_SECONDS": "1", "API_TASK_LIMIT_SECONDS": "3600"}
    ):
        trust.work()
        item = trust.user("stuck")
        assert item.state is State.PENDING
        assert "has not ended after" in (item.last_error or "")
        assert trust.user("quick").state is State.DONE
        assert trust.slots() == 1
        trust.service.control("POST", "reset")
        trust.work_until_quiet()
    assert trust.user("stuck").state is State.DONE


def test_slots_that_a_dead_run_held_are_free_when_its_tasks_have_ended(
    trust: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only when their time has passed."""
    monkeypatch.setattr(slots, "LONG", timedelta())
    monkeypatch.setattr(slots, "LOOK_PAUSE", 0.1)
    trust.service.faults(task_seconds=0.5)
    tasks = [trust.request_did(f"early-{number}") for number in range(8)]
    trust.hold_slots(tasks)
    trust.add_users(*(f"user-{number}" for number in range(9)))
    (result,) = trust.work()
    assert shown(result)["done"] == 9
    assert shown(result)["seconds"] < 45
    assert trust.ledger()["max_tasks_in_flight"] <= 8
    assert trust.slots() == 0


def test_slots_of_tasks_that_have_not_ended_are_nobody_elses(
    trust: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long they last: the API is at work on them."""
    monkeypatch.setattr(slots, "LONG", timedelta())
    monkeypatch.setattr(slots, "LOOK_PAUSE", 0.1)
    trust.service.faults(
        tasks=[{"pattern": "slow-*", "seconds": 4}], task_seconds=0.1
    )
    tasks = [trust.request_did(f"slow-{number}") for number in range(7)]
    trust.hold_slots(tasks)
    trust.add_users(*(f"user-{number}" for number in range(5)))
    (result,) = trust.work()
    assert shown(result)["done"] == 5
    assert trust.ledger()["max_tasks_in_flight"] <= 8


def test_both_flows_together_stay_within_the_bound(trust: Trust) -> None:
    trust.add_users(ACCOUNT)
    trust.work()
    trust.seed(40)
    trust.add_users(*(f"user-{number}" for number in range(40)))
    trust.tick()
    wanted = trust.dispatch()
    assert len(wanted) == 2

    def execute(request: RunRequest) -> None:
        # Each with storage of its own, as threads of one process lock each
        # other out of SQLite's tables in memory.
        with DagsterInstance.ephemeral() as own:
            replace(trust.service, instance=own).execute(request)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(execute, wanted))
    assert not trust.open_items()
    assert 4 < trust.ledger()["max_tasks_in_flight"] <= 8


def test_a_run_that_lost_its_batch_ends_without_effects(trust: Trust) -> None:
    trust.service.faults(task_seconds=30)
    trust.add_users(*(f"user-{number}" for number in range(20)))
    (wanted,) = trust.dispatch()

    def take_away() -> None:
        trust.service.sql(
            "UPDATE work_item SET state = 'pending', batch_id = NULL,"
            " begun_at = NULL"
        )
        trust.service.sql(
            "UPDATE batch SET state = 'closed',"
            " closed_at = clock_timestamp(), closed_why = 'taken'"
        )

    with meanwhile(lambda: trust.ledger()["trust_calls"], take_away):
        result = trust.service.execute(wanted)
    assert result.success
    assert len(trust.ledger()["trust_calls"]) <= 8
    assert {each.state for each in trust.users()} == {State.PENDING}


def test_a_cancelled_run_gives_its_items_back_uncounted(trust: Trust) -> None:
    trust.service.faults(task_seconds=30)
    trust.add_users(*(f"user-{number}" for number in range(20)))
    (wanted,) = trust.dispatch()
    instance = trust.service.instance

    def cancel() -> None:
        (run,) = instance.get_runs()
        instance.report_run_canceling(run)

    with meanwhile(lambda: trust.ledger()["trust_calls"], cancel):
        result = trust.service.execute(wanted)
    assert not result.success
    (run,) = instance.get_runs()
    assert run.status in (
        DagsterRunStatus.CANCELED,
        DagsterRunStatus.FAILURE,
        DagsterRunStatus.CANCELING,
    )
    assert {each.state for each in trust.users()} == {State.PENDING}
    assert {each.failures for each in trust.users()} == {0}
