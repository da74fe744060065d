"""What must be true of the inbox's rows at any time, whatever happened."""

from collections.abc import Sequence
from typing import Any

from hypothesis import event

from moderate.inbox.model import FINAL_STATES, State
from moderate_tests.integration.inbox.world import JOB, KINDS, PARCEL

Row = dict[str, Any]
Rows = dict[int, Row]

SLOTS = {kind.name: kind.slots for kind in KINDS}


class Promises:
    """Compares rows with what was seen of them before.

    Attributes:
        recorded: Kind and key of every event that came.
        taken: Batches that runs opened by themselves; no slot was asked for.
        ends: State, outcome and reason of items that have ended.
    """

    def __init__(self) -> None:
        self.recorded: set[tuple[str, str]] = set()
        self.taken: set[int] = set()
        self.ends: dict[int, tuple[Any, ...]] = {}
        self._dispatches: dict[int, int] = {}
        self._run_keys: dict[int, str] = {}
        self._words: dict[str, Row] = {}

    def check(self, items: Rows, batches: Rows, words: Sequence[Row]) -> None:
        self.nothing_is_lost(items)
        self.dispatch_numbers_never_go_back(items)
        self.run_keys_are_never_used_twice(batches)
        self.open_batches_keep_to_the_slots_and_hold_items(items, batches)
        self.an_item_at_work_is_in_one_open_batch(items, batches)
        self.an_end_stays_and_has_one_final_word(items, words)
        self.nobody_waits_for_what_has_ended_or_for_himself(items)
        self.failures_are_bounded_and_the_dead_have_a_reason(items)

    def nothing_is_lost(self, items: Rows) -> None:
        """Each event is one row, in a state that exists."""
        rows = items.values()
        assert {(row["kind"], row["key"]) for row in rows} == self.recorded
        assert len(rows) == len(self.recorded)
        assert {row["state"] for row in rows} <= set(State)

    def dispatch_numbers_never_go_back(self, items: Rows) -> None:
        for id_, row in items.items():
            assert row["dispatch"] >= self._dispatches.get(id_, 0)
            self._dispatches[id_] = row["dispatch"]

    def run_keys_are_never_used_twice(self, batches: Rows) -> None:
        for id_, batch in batches.items():
            self._run_keys[id_] = batch["run_key"]
        assert len(set(self._run_keys.values())) == len(self._run_keys)

    def open_batches_keep_to_the_slots_and_hold_items(
        self, items: Rows, batches: Rows
    ) -> None:
        for kind in (JOB, PARCEL):
            open_now = [
                batch
                for batch in batches.values()
                if batch["kind"] == kind and batch["state"] != "closed"
            ]
            asked = [b for b in open_now if b["id"] not in self.taken]
            assert len(asked) <= SLOTS[kind]
            for batch in open_now:
                mates = [
                    i for i in items.values() if i["batch_id"] == batch["id"]
                ]
                assert mates, "a slot is taken by nobody"
                assert len(mates) == 1 or not any(i["alone"] for i in mates)

    def an_item_at_work_is_in_one_open_batch(
        self, items: Rows, batches: Rows
    ) -> None:
        for row in items.values():
            if row["batch_id"] is None:
                assert row["state"] not in {"dispatched", "running"}
                continue
            batch = batches[row["batch_id"]]
            assert batch["state"] == row["state"]
            assert batch["kind"] == row["kind"]
            assert batch["run_id"] == row["run_id"]

    def an_end_stays_and_has_one_final_word(
        self, items: Rows, found: Sequence[Row]
    ) -> None:
        words = {row["key"]: row["payload"] for row in found}
        assert self._words.items() <= words.items(), "a word was changed"
        self._words = words
        for id_, row in items.items():
            if row["state"] not in FINAL_STATES:
                assert id_ not in self.ends, "an end was undone"
                continue
            end = (row["state"], row["outcome"], row["last_error"])
            event(f"ended {row['state']}")
            assert self.ends.setdefault(id_, end) == end
            assert f"{id_}/{row['dispatch']}" in words

    def nobody_waits_for_what_has_ended_or_for_himself(
        self, items: Rows
    ) -> None:
        for row in items.values():
            if row["waits_for"] is not None:
                event("an item waits")
            seen = set()
            while row["waits_for"] is not None:
                assert row["state"] == "pending"
                assert row["id"] not in seen
                seen.add(row["id"])
                row = items[row["waits_for"]]  # noqa: PLW2901
                assert row["state"] not in FINAL_STATES

    def failures_are_bounded_and_the_dead_have_a_reason(
        self, items: Rows
    ) -> None:
        for row in items.values():
            assert row["failures"] <= 3
            assert row["state"] != "dead" or row["last_error"]
