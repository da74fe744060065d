"""The difference of what there is and what is done."""

from moderate.flows.metadata_ingestion.plan import (
    TABLE,
    WHOLE,
    Order,
    Seen,
    digest,
    order,
    table,
)
from moderate.inbox.metadata_sources import Done, Part, Step

A, B = table("s", "a"), table("s", "b")
NOTHING: dict[Step, dict[Part, Done]] = {step: {} for step in Step}
FOREVER = float("inf")


def _done(
    order_of: Order, step: Step, age: float = 0.0
) -> dict[Step, dict[Part, Done]]:
    parts = {p: Done(f, age) for p, f in order_of.changed.items()}
    return NOTHING | {step: parts}


def _seen(**hashes: str) -> Seen:
    parts = {table("s", name): value for name, value in hashes.items()}
    return Seen(parts, parts)


def test_what_is_new_is_to_be_done_and_then_unchanged() -> None:
    seen = _seen(a="1", b="1")
    first = order(Step.METADATA, seen, NOTHING, "x", FOREVER)
    assert set(first.changed) == {A, B}
    memory = _done(first, Step.METADATA)
    second = order(Step.METADATA, seen, memory, "x", FOREVER)
    assert second.is_empty
    assert second.unchanged == 2


def test_only_the_changed_table_is_to_be_done() -> None:
    memory = _done(
        order(Step.METADATA, _seen(a="1", b="1"), NOTHING, "x", FOREVER),
        Step.METADATA,
    )
    todo = order(Step.METADATA, _seen(a="1", b="2"), memory, "x", FOREVER)
    assert set(todo.changed) == {B}
    assert todo.unchanged == 1


def test_a_table_that_is_gone_is_told_also_after_a_failed_run() -> None:
    memory = _done(
        order(Step.METADATA, _seen(a="1", b="1"), NOTHING, "x", FOREVER),
        Step.METADATA,
    )
    for _ in range(2):  # A run that fails remembers nothing.
        todo = order(Step.METADATA, _seen(a="1"), memory, "x", FOREVER)
        assert todo.gone == (B,)
        assert not todo.changed


def test_another_server_gets_everything_again() -> None:
    seen = _seen(a="1")
    memory = _done(
        order(Step.METADATA, seen, NOTHING, "x", FOREVER), Step.METADATA
    )
    todo = order(Step.METADATA, seen, memory, "y", FOREVER)
    assert set(todo.changed) == {A}
    assert todo.gone == ()


def test_a_source_that_is_gone_loses_all_that_is_known() -> None:
    memory = _done(
        order(Step.METADATA, _seen(a="1"), NOTHING, "x", FOREVER),
        Step.METADATA,
    )
    assert order(Step.METADATA, None, memory, "x", FOREVER).gone == (A,)
    assert order(Step.PROFILE, None, memory, "x", FOREVER).is_empty


def test_a_profile_is_made_again_when_rows_changed_or_it_is_old() -> None:
    there = {Step.METADATA: {A: Done("metadata 1", 0.0)}}
    seen = Seen({A: "1"}, {A: "rows 1"})
    first = order(Step.PROFILE, seen, NOTHING | there, "x", 60)
    assert set(first.changed) == {A}
    fresh = _done(first, Step.PROFILE, age=59) | there
    assert order(Step.PROFILE, seen, fresh, "x", 60).is_empty
    other = Seen({A: "1"}, {A: "rows 2"})
    assert order(Step.PROFILE, other, fresh, "x", 60).changed
    old = _done(first, Step.PROFILE, age=61) | there
    assert order(Step.PROFILE, seen, old, "x", 60).changed


def test_a_profile_is_made_again_when_its_metadata_came_late() -> None:
    """Rows were profiled while OpenMetadata had the columns of before."""
    seen = Seen({A: "2"}, {A: "rows"})
    before = {Step.METADATA: {A: Done("metadata 1", 0.0)}}
    first = order(Step.PROFILE, seen, NOTHING | before, "x", FOREVER)
    late = {Step.METADATA: {A: Done("metadata 2", 0.0)}}
    memory = _done(first, Step.PROFILE) | late
    assert set(order(Step.PROFILE, seen, memory, "x", FOREVER).changed) == {A}


def test_what_was_only_announced_has_no_profile_yet_and_goes_if_gone() -> None:
    announced = NOTHING | {Step.METADATA: {A: Done("", 0.0)}}
    seen = Seen({A: "1"}, {A: "rows"})
    assert order(Step.PROFILE, seen, announced, "x", FOREVER).is_empty
    todo = order(Step.METADATA, seen, announced, "x", FOREVER)
    assert set(todo.changed) == {A}
    assert todo.unchanged == 0
    for there in (Seen({}, {}), None):
        todo = order(Step.METADATA, there, announced, "x", FOREVER)
        assert todo.gone == (A,)


def test_views_and_schemas_have_no_profile() -> None:
    seen = Seen({A: "1", WHOLE: "1"}, {})
    assert order(Step.PROFILE, seen, NOTHING, "x", FOREVER).is_empty


def test_a_hash_tells_facts_apart_that_look_alike() -> None:
    assert digest("a", "bc") != digest("ab", "c")
    assert digest(None) != digest("None")
    assert Part(TABLE, "a") != Part("schema", "a")
