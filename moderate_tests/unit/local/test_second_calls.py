"""Every second call of the emulated trust service is explained."""

from moderate.local.platform_api.second_calls import Why, explained
from moderate.local.platform_api.trust_calls import TrustCall


def call(
    task: int, begun: str, ended: str | None, outcome: str, who: str = "ann"
) -> TrustCall:
    return TrustCall(
        kind="did",
        subject=who,
        task_id=task,
        body=None,
        started_at=begun,
        finished_at=ended,
        outcome=outcome,
    )


def whys(*calls: TrustCall, starts: tuple[str, ...] = ("00",)) -> list[Why]:
    return [each.why for each in explained(calls, starts)]


def test_who_is_called_for_once_needs_no_explanation() -> None:
    assert not whys(
        call(1, "01", "02", "succeeded"),
        call(2, "01", "02", "succeeded", who="bob"),
        call(3, "01", "02", "succeeded").model_copy(update={"kind": "proof"}),
    )


def test_a_call_after_one_that_failed_is_another_try() -> None:
    failed = call(1, "01", "02", "failed")
    assert whys(failed, call(2, "02", "03", "succeeded")) == [Why.FAILED]


def test_a_call_beside_another_one_was_made_too_early() -> None:
    slow = call(1, "01", "05", "succeeded")
    beside = call(2, "02", "06", "discarded")
    open_ended = call(3, "03", None, "running")
    assert whys(slow, beside, open_ended) == [Why.UNDER_WAY] * 2


def test_a_call_after_one_that_the_api_died_with_is_made_again() -> None:
    died = call(1, "01", None, "running")
    again = call(2, "04", "05", "succeeded")
    assert whys(died, again, starts=("00", "03")) == [Why.API_DIED]


def test_a_call_after_one_that_ended_well_is_told_apart() -> None:
    """There is no good reason for it: an effect was doubled."""
    first = call(1, "01", "02", "succeeded")
    (second,) = explained([first, call(7, "03", "04", "succeeded")], ["00"])
    assert second.why is Why.ENDED_WELL
    assert (second.subject, second.task_id, second.first_task_id) == (
        "ann",
        7,
        1,
    )
