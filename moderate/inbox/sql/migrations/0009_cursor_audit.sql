-- Cursors that a person forgets are remembered too: a source is read again
-- then from the start, and somebody will ask who wanted it.

ALTER TABLE audit
    ALTER COLUMN item_id DROP NOT NULL,
    ADD COLUMN cursor text,
    ADD CHECK (num_nonnulls(item_id, cursor) = 1);
COMMENT ON TABLE audit IS 'What people did to items and cursors by hand.';
