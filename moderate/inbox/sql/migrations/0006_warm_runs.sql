-- The fast path: runs that wait for a worker with the code already loaded,
-- and a word to whoever waits for work. Empty tables, and silence, without it.

CREATE TABLE warm_worker (
    id           uuid PRIMARY KEY,
    host         text        NOT NULL,
    pid          integer     NOT NULL,
    image        text,
    slots        integer     NOT NULL CHECK (slots > 0),
    started_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    heartbeat_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE warm_worker IS
    'Workers that are alive; one whose row is gone must end its runs.';

CREATE TABLE warm_run (
    run_id          text PRIMARY KEY,
    image           text,
    priority        integer     NOT NULL DEFAULT 0,
    state           text        NOT NULL DEFAULT 'waiting'
                    CHECK (state IN ('waiting', 'claimed', 'over')),
    worker_id       uuid,
    pid             integer,
    cancel_asked_at timestamptz,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    claimed_at      timestamptz,
    ended_at        timestamptz,
    ending          text,
    CHECK ((state = 'claimed') <= (worker_id IS NOT NULL)),
    CHECK ((state = 'over') = (ended_at IS NOT NULL))
);
COMMENT ON TABLE warm_run IS
    'Runs of Dagster that were given to the fast path, each once.';
COMMENT ON COLUMN warm_run.image IS
    'Only a worker of this image may take the run; any, if there is none.';

CREATE INDEX warm_run_waiting ON warm_run (priority DESC, created_at, run_id)
    WHERE state = 'waiting';
CREATE INDEX warm_run_claimed ON warm_run (worker_id)
    WHERE state = 'claimed';
CREATE INDEX warm_run_over ON warm_run (ended_at) WHERE state = 'over';

-- Whoever waits for work is told of items that became due and of slots that
-- became free. By triggers, as every statement that does so has to tell, and
-- none may be forgotten; once a statement, and of rows alone that matter. A
-- commit that notifies waits for others that do, so where there is no worker
-- nobody is told anything.

CREATE FUNCTION moderate_tell_of_due() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM fresh WHERE state = TG_ARGV[0])
       AND EXISTS (SELECT FROM warm_worker)
    THEN
        PERFORM pg_notify('moderate_due', '');
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER tell_of_new_items AFTER INSERT ON work_item
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT
    EXECUTE FUNCTION moderate_tell_of_due('pending');
CREATE TRIGGER tell_of_items_again AFTER UPDATE ON work_item
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT
    EXECUTE FUNCTION moderate_tell_of_due('pending');
CREATE TRIGGER tell_of_dispatches AFTER INSERT ON batch
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT
    EXECUTE FUNCTION moderate_tell_of_due('dispatched');
CREATE TRIGGER tell_of_free_slots AFTER UPDATE ON batch
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT
    EXECUTE FUNCTION moderate_tell_of_due('closed');

CREATE FUNCTION moderate_tell_of_warm_run() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('moderate_warm_run', '');
    RETURN NULL;
END $$;

CREATE TRIGGER tell_of_offers AFTER INSERT ON warm_run
    FOR EACH STATEMENT EXECUTE FUNCTION moderate_tell_of_warm_run();
