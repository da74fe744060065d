-- Work items, batches (one batch is one dispatch), cursors, peer slots.
-- Every time is set and compared by this server's clock_timestamp().

CREATE TABLE batch (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind         text        NOT NULL,
    state        text        NOT NULL DEFAULT 'dispatched'
                 CHECK (state IN ('dispatched', 'running', 'closed')),
    run_key      text        NOT NULL UNIQUE,
    run_id       text,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at   timestamptz,
    heartbeat_at timestamptz,
    closed_at    timestamptz,
    closed_why   text,
    CHECK ((state = 'running') <= (run_id IS NOT NULL)),
    CHECK ((state = 'closed') = (closed_at IS NOT NULL))
);
COMMENT ON TABLE batch IS
    'One dispatch of one or more items of a kind to one run: the lease.';

COMMENT ON COLUMN batch.started_at IS
    'When its run was first seen started but unbound.';

-- Free slots and lost runs are asked of the few open batches alone.
CREATE INDEX batch_open ON batch (kind, created_at) WHERE state <> 'closed';

CREATE TABLE work_item (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind            text        NOT NULL,
    key             text        NOT NULL,
    payload         jsonb       NOT NULL DEFAULT '{}',
    state           text        NOT NULL DEFAULT 'pending'
                    CHECK (state IN ('pending', 'dispatched', 'running',
                                     'done', 'dead', 'cancelled')),
    dispatch        integer     NOT NULL DEFAULT 0 CHECK (dispatch >= 0),
    failures        integer     NOT NULL DEFAULT 0 CHECK (failures >= 0),
    next_attempt_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    alone           boolean     NOT NULL DEFAULT false,
    waits_for       bigint      REFERENCES work_item (id),
    batch_id        bigint      REFERENCES batch (id),
    run_id          text,
    begun_at        timestamptz,
    last_error      text,
    outcome         jsonb,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at     timestamptz,
    dropped_at      timestamptz,
    UNIQUE (kind, key),
    CHECK ((state IN ('dispatched', 'running')) = (batch_id IS NOT NULL)),
    CHECK ((state IN ('done', 'dead', 'cancelled'))
           = (finished_at IS NOT NULL)),
    CHECK (waits_for IS NULL OR state = 'pending')
);
COMMENT ON COLUMN work_item.dispatch IS
    'Number of the last dispatch; never goes back, as run keys use it.';
COMMENT ON COLUMN work_item.alone IS
    'A run died while this item was begun: it travels alone next time.';
COMMENT ON COLUMN work_item.dropped_at IS
    'Tombstone: kind and key are kept, so that no reconcile brings it back.';

CREATE INDEX work_item_due ON work_item (kind, next_attempt_at, id)
    WHERE state = 'pending' AND waits_for IS NULL;
CREATE INDEX work_item_batch ON work_item (batch_id)
    WHERE batch_id IS NOT NULL;
CREATE INDEX work_item_waiters ON work_item (waits_for)
    WHERE waits_for IS NOT NULL;
CREATE INDEX work_item_dead ON work_item (kind, finished_at)
    WHERE state = 'dead';

CREATE TABLE cursor (
    name       text PRIMARY KEY,
    value      jsonb       NOT NULL,
    version    bigint      NOT NULL DEFAULT 1,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE peer_slot (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    peer       text        NOT NULL,
    holder     text        NOT NULL,
    expires_at timestamptz NOT NULL
);
COMMENT ON TABLE peer_slot IS
    'Tasks in flight at a peer over all flows and runs.';
CREATE INDEX peer_slot_peer ON peer_slot (peer, expires_at);

CREATE TABLE audit (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    item_id  bigint      NOT NULL REFERENCES work_item (id),
    action   text        NOT NULL,
    who      text        NOT NULL,
    why      text        NOT NULL,
    at       timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE audit IS 'What people did to items by hand.';
