-- What is asked of items and leases that are over: how many ended in the last
-- hour, and which are old enough to be emptied or forgotten. Tombstones are
-- in neither index, so neither question costs more as they grow in number.

CREATE INDEX work_item_finished ON work_item (kind, finished_at)
    INCLUDE (state, failures)
    WHERE finished_at IS NOT NULL AND dropped_at IS NULL;

CREATE INDEX batch_closed ON batch (kind, closed_at) WHERE state = 'closed';
