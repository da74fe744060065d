-- Which task a slot was taken for: whoever needs a slot can see the end of a
-- task whose own run was killed.

ALTER TABLE peer_slot
    ADD COLUMN task_id  bigint,
    ADD COLUMN taken_at timestamptz NOT NULL DEFAULT clock_timestamp();
