"""Which objects are looked at, and how far that brings the cursor."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderate.clients.errors import UnreadableAnswer
from moderate.clients.platform_models import AssetObject
from moderate.flows.asset_proofs.plan import Look, Pace, Position, look

START = datetime(2026, 1, 1, tzinfo=UTC)
LOOK_BACK = timedelta(minutes=2)
HOUR = timedelta(hours=1)
PACE = Pace(page=3, limit=6, look_back=LOOK_BACK, reconcile=HOUR)


def made(number: int) -> AssetObject:
    return AssetObject(
        id=number,
        key=f"key-{number}",
        bucket="bucket",
        asset_id=1,
        sha256_hash="0",
        created_at=START,
    )


@dataclass
class Platform:
    """Objects without a proof, by number."""

    numbers: set[int] = field(default_factory=set)
    calls: int = 0

    def list_objects_without_proof(
        self, after_id: int, limit: int
    ) -> list[AssetObject]:
        self.calls += 1
        above = sorted(n for n in self.numbers if n > after_id)
        return [made(number) for number in above[:limit]]


def at(
    platform: Platform, position: Position, minutes: float, pace: Pace = PACE
) -> Look:
    return look(
        platform,
        position,
        now=START + timedelta(minutes=minutes),
        pace=pace,
        in_time=lambda: True,
    )


def numbers(seen: Look) -> list[int]:
    return [each.id for each in seen.found]


def test_a_quiet_look_is_one_call() -> None:
    platform = Platform({1, 2})
    position = at(platform, Position(), 0).position
    for minute in (1, 2, 3, 10):
        platform.calls = 0
        platform.numbers.clear()  # All have their proof.
        seen = at(platform, position, minute)
        position = seen.position
        assert platform.calls <= 2
    platform.calls = 0
    assert at(platform, position, 11).calls == platform.calls == 1


def test_news_above_the_head_is_read_up_to_the_limit() -> None:
    platform = Platform(set(range(1, 11)))
    first = at(platform, Position(), 0)
    assert numbers(first) == [1, 2, 3, 4, 5, 6]
    second = at(platform, first.position, 0.1)
    assert numbers(second) == [7, 8, 9, 10]


def test_an_object_that_shows_up_late_is_found_before_it_is_settled() -> None:
    """Number 5 was given before 6, but its upload took longer."""
    platform = Platform({4, 6})
    position = at(platform, Position(), 0).position
    assert position.head == 6
    position = at(platform, position, 1).position
    platform.numbers.add(5)
    found: list[int] = []
    for minute in (1.5, 2.5, 3.5, 4.5, 5.5):
        seen = at(platform, position, minute)
        position = seen.position
        found += numbers(seen)
    assert 5 in found
    assert position.settled == 6


def test_a_mark_is_settled_only_once_it_is_old_enough() -> None:
    platform = Platform({7})
    first = at(platform, Position(), 0).position
    assert (first.head, first.settled) == (7, 0)
    second = at(platform, first, 1.9).position
    assert second.settled == 0
    third = at(platform, second, 2).position
    assert third.mark == 7
    assert third.settled == 0, "the mark was set before the first reading"
    assert at(platform, third, 4).position.settled == 7


def test_a_look_back_that_is_too_long_goes_on_in_the_next_tick() -> None:
    platform = Platform(set(range(1, 21)))
    position = Position(head=20, mark=20, marked_at=START)
    position = position.at(START, HOUR)
    found: list[int] = []
    for minute in (2, 2.1, 2.2, 2.3, 2.4):
        seen = at(platform, position, minute)
        position = seen.position
        found += numbers(seen)
    assert found == list(range(1, 21))
    assert position.settled == 20


def test_a_reconcile_looks_at_all_that_is_open() -> None:
    platform = Platform({1, 2, 3, 9})
    position = Position(
        head=9, mark=9, settled=9, marked_at=START, reconciled_at=START
    )
    seen = at(platform, position, 61)
    assert numbers(seen) == [1, 2, 3, 9]
    assert seen.position.settled == 9
    assert at(platform, seen.position, 64).found == ()


def test_a_clock_that_goes_back_only_begins_the_wait_anew() -> None:
    platform = Platform({1})
    position = at(platform, Position(), 600).position
    seen = at(platform, position, 0)
    assert seen.position.settled == 0
    assert seen.position.marked_at == START
    later = at(platform, seen.position, 2).position
    assert later.settled == 1


def test_an_api_that_does_not_sort_is_an_error_and_no_endless_loop() -> None:
    class Unsorted(Platform):
        def list_objects_without_proof(
            self, after_id: int, limit: int
        ) -> list[AssetObject]:
            return [made(3), made(2)]

    with pytest.raises(UnreadableAnswer, match="ascending"):
        at(Unsorted(), Position(), 0)


def test_no_page_is_read_when_the_time_is_over() -> None:
    platform = Platform({1})
    seen = look(
        platform,
        Position(head=5, mark=5, marked_at=START),
        now=START + HOUR,
        pace=PACE,
        in_time=lambda: False,
    )
    assert platform.calls == 0
    assert seen.position.head == 5
    assert seen.position.settled == 0


def uploads() -> st.SearchStrategy[list[tuple[int, int]]]:
    """Return uploads as their beginning, and how long each takes."""
    return st.lists(
        st.tuples(st.integers(0, 300), st.integers(0, 119)), max_size=30
    )


@given(uploads(), st.integers(1, 20))
def test_no_object_is_lost_however_uploads_and_looks_interleave(
    times: list[tuple[int, int]], step: int
) -> None:
    """A number is given at the beginning, and seen at the end."""
    begun = sorted(times)
    found: set[int] = set()
    position = Position()
    for second in ticks(step):
        seen_by_now = {
            number
            for number, (start, length) in enumerate(begun, start=1)
            if start + length <= second
        }
        seen = at(Platform(seen_by_now - found), position, second / 60)
        position = seen.position
        found |= set(numbers(seen))
        hidden = set(range(1, position.settled + 1)) - found
        assert not hidden, "the cursor passed what is not in the inbox"
    assert found == set(range(1, len(begun) + 1))


def ticks(step: int) -> Iterator[int]:
    return iter(range(0, 1200, step))
