-- The inbox's statements, one a block. A block begins with its name; the
-- comment under it says what the statement is for. Transitions carry their
-- guard in the WHERE clause: 0 rows means that somebody else was first.


-- name: record_items
-- Insert new items; one that is already known is left as it is. Sorted by
-- code point, as the chunks are, so that two ticks that overlap can't wait for
-- each other in a circle.
INSERT INTO work_item
    (kind, key, payload, state, last_error, outcome, finished_at)
SELECT kind, key, payload, state, error, outcome,
       CASE WHEN state <> 'pending' THEN clock_timestamp() END
  FROM jsonb_to_recordset(%(items)s)
    AS new (kind text, key text, payload jsonb, state text,
            error text, outcome jsonb)
 ORDER BY kind COLLATE "C", key COLLATE "C"
ON CONFLICT (kind, key) DO NOTHING
RETURNING id, kind, key, state;


-- name: lock_dispatch
-- Let one transaction at a time count and fill the free slots of a kind.
SELECT pg_advisory_xact_lock(
    hashtextextended('moderate.dispatch.' || %(kind)s, 0)
);


-- name: dispatch_due
-- pending -> dispatched. Fill the free slots of a kind with due items, the
-- longest due first, many to a batch; an item marked alone has a batch of its
-- own. The first item's id and dispatch number make the run key, which is
-- new for ever, as dispatch numbers never go back. The clock is read in a
-- subquery, once, so that the index ends where items are not yet due.
WITH free AS (
    SELECT greatest(0, %(slots)s - count(*)) AS slots
      FROM batch WHERE kind = %(kind)s AND state <> 'closed'
), due AS (
    SELECT id, dispatch, alone, next_attempt_at
      FROM work_item
     WHERE kind = %(kind)s AND state = 'pending' AND waits_for IS NULL
       AND next_attempt_at <= (SELECT clock_timestamp())
     ORDER BY next_attempt_at, id
     LIMIT (SELECT slots * %(batch_size)s FROM free)
       FOR UPDATE SKIP LOCKED
), placed AS (
    SELECT *, (row_number() OVER
                 (PARTITION BY alone ORDER BY next_attempt_at, id) - 1)
              / CASE WHEN alone THEN 1 ELSE %(batch_size)s END AS place
      FROM due
), grouped AS (
    SELECT id, first_value(next_attempt_at) OVER mates AS first_due,
           %(kind)s::text || ':' || first_value(id) OVER mates
                    || ':' || first_value(dispatch) OVER mates + 1 AS run_key
      FROM placed
    WINDOW mates AS
           (PARTITION BY alone, place ORDER BY next_attempt_at, id)
), ranked AS (
    SELECT id, run_key,
           dense_rank() OVER (ORDER BY first_due, run_key) AS rank
      FROM grouped
), opened AS (
    INSERT INTO batch (kind, run_key)
    SELECT %(kind)s::text, run_key FROM ranked
     WHERE rank <= (SELECT slots FROM free)
     GROUP BY run_key ORDER BY min(rank)
    RETURNING id, run_key
)
UPDATE work_item AS item
   SET state = 'dispatched', dispatch = item.dispatch + 1,
       batch_id = opened.id, run_id = NULL, begun_at = NULL,
       updated_at = clock_timestamp()
  FROM ranked JOIN opened USING (run_key)
 WHERE item.id = ranked.id
RETURNING item.id;


-- name: unbound_batches
-- Batches of some age whose run has not begun, with what a run request says of
-- them; the first item is the one that the run key is made of.
SELECT DISTINCT ON (batch.id)
       batch.id, batch.kind, batch.run_key,
       count(*) OVER (PARTITION BY batch.id) AS size,
       item.id AS item_id, item.key AS item_key, item.dispatch
  FROM batch JOIN work_item AS item ON item.batch_id = batch.id
 WHERE batch.kind = ANY(%(kinds)s) AND batch.state = 'dispatched'
   AND batch.created_at <= clock_timestamp() - %(age)s
 ORDER BY batch.id, item.next_attempt_at, item.id;


-- name: bind_batch
-- dispatched -> running, the fence: a run binds a batch that nobody has
-- bound, or that it bound itself before.
WITH bound AS (
    UPDATE batch
       SET state = 'running', run_id = %(run_id)s,
           heartbeat_at = clock_timestamp()
     WHERE id = %(batch_id)s
       AND (state = 'dispatched'
            OR (state = 'running' AND run_id = %(run_id)s))
    RETURNING id
)
UPDATE work_item AS item
   SET state = 'running', run_id = %(run_id)s,
       updated_at = clock_timestamp()
  FROM bound
 WHERE item.batch_id = bound.id
RETURNING item.*;


-- name: take_now
-- pending -> running in one step, for a run that goes on with an item which
-- its own work has just made.
WITH taken AS (
    SELECT id, dispatch FROM work_item
     WHERE kind = %(kind)s AND key = %(key)s AND state = 'pending'
       AND waits_for IS NULL
       FOR UPDATE SKIP LOCKED
), opened AS (
    INSERT INTO batch (kind, state, run_key, run_id, heartbeat_at)
    SELECT %(kind)s::text, 'running',
           %(kind)s::text || ':' || id || ':' || dispatch + 1,
           %(run_id)s, clock_timestamp()
      FROM taken
    RETURNING id
)
UPDATE work_item AS item
   SET state = 'running', dispatch = item.dispatch + 1,
       batch_id = opened.id, run_id = %(run_id)s, begun_at = NULL,
       updated_at = clock_timestamp()
  FROM taken, opened
 WHERE item.id = taken.id
RETURNING item.*;


-- name: beat
-- Say that the run is alive; 0 rows: it has lost its batch and must stop.
UPDATE batch SET heartbeat_at = clock_timestamp()
 WHERE id = %(batch_id)s AND run_id = %(run_id)s AND state = 'running'
RETURNING id;


-- name: hold_batch
-- Lock the batch of a run before its items, as the reconcile does; 0 rows: it
-- was taken from the run.
SELECT id FROM batch
 WHERE id = %(batch_id)s AND run_id = %(run_id)s AND state = 'running'
   FOR NO KEY UPDATE;


-- name: begin_items
-- From here on an attempt counts.
UPDATE work_item
   SET begun_at = clock_timestamp(), updated_at = clock_timestamp()
 WHERE id = ANY(%(ids)s) AND batch_id = %(batch_id)s
   AND run_id = %(run_id)s AND state = 'running'
RETURNING id;


-- name: finish_item
-- running -> done, dead or cancelled, by the run that holds the item.
UPDATE work_item
   SET state = %(state)s, outcome = %(outcome)s,
       failures = failures + %(failed)s::int,
       last_error = coalesce(%(error)s, last_error),
       batch_id = NULL, finished_at = clock_timestamp(),
       updated_at = clock_timestamp()
 WHERE id = %(id)s AND batch_id = %(batch_id)s
   AND run_id = %(run_id)s AND state = 'running'
RETURNING *;


-- name: postpone_item
-- running -> pending after a failure that counts.
UPDATE work_item
   SET state = 'pending', failures = failures + 1,
       next_attempt_at = clock_timestamp() + %(delay)s,
       last_error = %(error)s, batch_id = NULL, begun_at = NULL,
       updated_at = clock_timestamp()
 WHERE id = %(id)s AND batch_id = %(batch_id)s
   AND run_id = %(run_id)s AND state = 'running'
RETURNING id;


-- name: release_items
-- running -> pending without a failure: evicted, or never begun.
UPDATE work_item
   SET state = 'pending', next_attempt_at = clock_timestamp() + %(delay)s,
       last_error = coalesce(%(reason)s, last_error),
       batch_id = NULL, begun_at = NULL, updated_at = clock_timestamp()
 WHERE batch_id = %(batch_id)s AND run_id = %(run_id)s
   AND state = 'running'
   AND (%(ids)s::bigint[] IS NULL OR id = ANY(%(ids)s::bigint[]))
RETURNING id;


-- name: lock_target
-- The item that another one is about to wait for; held, so that it can't
-- finish in between.
SELECT id, state, last_error FROM work_item
 WHERE kind = %(kind)s AND key = %(key)s FOR SHARE;


-- name: park_item
-- running -> pending, not due before the item that it waits for is done.
UPDATE work_item
   SET state = 'pending', waits_for = %(target)s,
       last_error = %(reason)s, batch_id = NULL, begun_at = NULL,
       next_attempt_at = clock_timestamp(), updated_at = clock_timestamp()
 WHERE id = %(id)s AND batch_id = %(batch_id)s
   AND run_id = %(run_id)s AND state = 'running'
RETURNING id;


-- name: waits_for_itself
-- Whether a parked item waits for itself by way of others. Asked after it was
-- parked: of two that park at once the second one sees the first, as each
-- holds the item that it waits for.
WITH RECURSIVE chain AS (
    SELECT waits_for AS id FROM work_item WHERE id = %(id)s
    UNION
    SELECT item.waits_for FROM work_item AS item JOIN chain USING (id)
)
SELECT id FROM chain WHERE id = %(id)s;


-- name: wake_waiters
-- What an item was waiting for is done: it is due.
UPDATE work_item
   SET waits_for = NULL, next_attempt_at = clock_timestamp(),
       updated_at = clock_timestamp()
 WHERE waits_for = %(id)s
RETURNING id;


-- name: fail_waiters
-- pending -> dead: what an item was waiting for will never be done.
UPDATE work_item
   SET state = 'dead', waits_for = NULL, last_error = %(reason)s,
       finished_at = clock_timestamp(), updated_at = clock_timestamp()
 WHERE waits_for = %(id)s
RETURNING *;


-- name: close_empty_batch
-- The last item has left: the slot is free.
UPDATE batch
   SET state = 'closed', closed_at = clock_timestamp(),
       closed_why = 'finished'
 WHERE id = %(batch_id)s AND state = 'running'
   AND NOT EXISTS (SELECT FROM work_item WHERE batch_id = %(batch_id)s)
RETURNING id;


-- name: silent_batches
-- Batches that need a look: no heartbeat, or no run, for too long. Those with
-- a dead run come first: many that wait in Dagster's queue can't hide them.
SELECT id, kind, state, run_key, run_id
  FROM batch
 WHERE kind = ANY(%(kinds)s)
   AND ((state = 'running'
         AND heartbeat_at < clock_timestamp() - %(silence)s)
     OR (state = 'dispatched'
         AND created_at < clock_timestamp() - %(grace)s))
 ORDER BY state = 'running' DESC, id
 LIMIT %(limit)s;


-- name: open_batches
-- All batches that hold items.
SELECT id, kind, state, run_key, run_id
  FROM batch
 WHERE kind = ANY(%(kinds)s) AND state <> 'closed'
 ORDER BY id;


-- name: unemployed_runs
-- Of some runs, each named with the batch that it was asked for, those that
-- hold nothing and won't any more. A batch that came to a good end leaves its
-- run some time to end too; one that was taken away was silent for long.
SELECT run_id FROM unnest(%(run_ids)s::text[], %(batch_ids)s::bigint[])
    AS asked (run_id, batch_id)
 WHERE NOT EXISTS (
           SELECT FROM batch WHERE state <> 'closed'
              AND (batch.run_id = asked.run_id OR batch.id = asked.batch_id))
   AND NOT EXISTS (
           SELECT FROM batch
            WHERE id = asked.batch_id AND closed_why = 'finished'
              AND closed_at >= clock_timestamp() - %(silence)s);


-- name: close_silent_batch
-- Take the lease from a run that misses its heartbeat.
UPDATE batch
   SET state = 'closed', closed_at = clock_timestamp(), closed_why = %(why)s
 WHERE id = %(batch_id)s AND state = 'running'
   AND heartbeat_at < clock_timestamp() - %(silence)s
RETURNING id;


-- name: close_unbound_batch
-- Take back a batch that no run has bound.
UPDATE batch
   SET state = 'closed', closed_at = clock_timestamp(), closed_why = %(why)s
 WHERE id = %(batch_id)s AND state = 'dispatched'
RETURNING id;


-- name: note_started
-- Remember when a run was first seen started that has not bound its batch;
-- say whether that was too long ago. Such a run may be dead: a killed local
-- run stays STARTED for ever.
UPDATE batch SET started_at = coalesce(started_at, clock_timestamp())
 WHERE id = %(batch_id)s AND state = 'dispatched'
RETURNING started_at < clock_timestamp() - %(silence)s AS overdue;


-- name: free_unbegun_items
-- dispatched or running -> pending, uncounted: their own work never began.
UPDATE work_item
   SET state = 'pending', next_attempt_at = clock_timestamp(),
       batch_id = NULL, updated_at = clock_timestamp()
 WHERE batch_id = %(batch_id)s AND begun_at IS NULL
RETURNING id;


-- name: items_of_batch
-- What a batch still holds.
SELECT * FROM work_item WHERE batch_id = %(batch_id)s ORDER BY id FOR UPDATE;


-- name: free_begun_item
-- running -> pending or dead, by the reconcile: its run died under it, so it
-- goes alone next time and can take no other item along.
UPDATE work_item
   SET state = %(state)s, failures = failures + 1, alone = true,
       next_attempt_at = clock_timestamp() + %(delay)s,
       last_error = %(error)s, batch_id = NULL, begun_at = NULL,
       finished_at = CASE WHEN %(state)s = 'dead'
                          THEN clock_timestamp() END,
       updated_at = clock_timestamp()
 WHERE id = %(id)s AND batch_id = %(batch_id)s
RETURNING *;


-- name: cancel_held_item
-- dispatched or running -> cancelled, by the reconcile: a person cancelled
-- the run.
UPDATE work_item
   SET state = 'cancelled', outcome = %(outcome)s, batch_id = NULL,
       finished_at = clock_timestamp(), updated_at = clock_timestamp()
 WHERE id = %(id)s AND batch_id = %(batch_id)s
RETURNING *;


-- name: retry_item
-- dead, cancelled or pending -> pending and due, by hand. Only the count of
-- failures starts again; the dispatch number goes on.
UPDATE work_item
   SET state = 'pending', failures = 0, waits_for = NULL, outcome = NULL,
       next_attempt_at = clock_timestamp(), finished_at = NULL,
       updated_at = clock_timestamp()
 WHERE id = %(id)s AND state IN ('dead', 'cancelled', 'pending')
   AND dropped_at IS NULL
RETURNING *;


-- name: drop_item
-- dead, cancelled, done or pending -> a tombstone: what it held is gone,
-- kind and key stay. One that was still to be done ends cancelled.
UPDATE work_item
   SET state = CASE WHEN state = 'pending' THEN 'cancelled' ELSE state END,
       finished_at = coalesce(finished_at, clock_timestamp()),
       payload = '{}', outcome = NULL, waits_for = NULL,
       dropped_at = clock_timestamp(), updated_at = clock_timestamp()
 WHERE id = %(id)s
   AND state IN ('dead', 'cancelled', 'done', 'pending')
   AND dropped_at IS NULL
RETURNING *;


-- name: lock_item
-- One item, held until the end of the transaction.
SELECT * FROM work_item WHERE id = %(id)s FOR UPDATE;


-- name: prune_batches
-- Forget closed batches, by age. Run keys stay new all the same, as they are
-- made of dispatch numbers.
DELETE FROM batch
 WHERE id IN (
    SELECT id FROM batch
     WHERE kind = %(kind)s AND state = 'closed'
       AND closed_at < (SELECT clock_timestamp() - %(age)s::interval)
     ORDER BY closed_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
RETURNING id;


-- name: prune_done
-- done -> a tombstone, by age.
UPDATE work_item
   SET payload = '{}', outcome = NULL, dropped_at = clock_timestamp()
 WHERE id IN (
    SELECT id FROM work_item
     WHERE kind = %(kind)s AND state = 'done' AND dropped_at IS NULL
       AND finished_at < (SELECT clock_timestamp() - %(age)s::interval)
     ORDER BY finished_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
RETURNING id;


-- name: audit
-- Remember what a person did.
INSERT INTO audit (item_id, action, who, why)
VALUES (%(item_id)s, %(action)s, %(who)s, %(why)s);


-- name: audit_cursor
-- Remember that a person forgot a cursor.
INSERT INTO audit (cursor, action, who, why)
VALUES (%(name)s, %(action)s, %(who)s, %(why)s);


-- name: list_items
-- Items by kind and state, the latest change first.
SELECT * FROM work_item
 WHERE (%(kind)s::text IS NULL OR kind = %(kind)s)
   AND (%(state)s::text IS NULL OR state = %(state)s)
   AND (%(dropped)s OR dropped_at IS NULL)
 ORDER BY updated_at DESC, id DESC
 LIMIT %(limit)s;


-- name: get_item
-- One item.
SELECT * FROM work_item WHERE id = %(id)s;


-- name: get_items
-- Some items, in order.
SELECT * FROM work_item WHERE id = ANY(%(ids)s) ORDER BY id;


-- name: get_item_by_key
-- One item by what it is unique by.
SELECT * FROM work_item WHERE kind = %(kind)s AND key = %(key)s;


-- name: states_of_keys
-- Which of some keys are items already, tombstones included, and in which
-- state. A join, so that each key is looked up: a prepared statement compares
-- = ANY(keys) with every item of the kind.
SELECT item.key, item.state FROM unnest(%(keys)s::text[]) AS asked (key)
  JOIN work_item AS item ON item.kind = %(kind)s AND item.key = asked.key;


-- name: audit_of
-- What people did to an item, in order.
SELECT action, who, why, at FROM audit
 WHERE item_id = %(id)s ORDER BY id;


-- name: list_audit
-- What people did to items and cursors, the latest first.
SELECT item_id, cursor, action, who, why, at FROM audit
 ORDER BY id DESC LIMIT %(limit)s;


-- name: count_items
-- How many items are in each state, and how long the oldest has been due.
SELECT kind, state, count(*) AS items,
       extract(epoch FROM max(clock_timestamp() - next_attempt_at)
               FILTER (WHERE state = 'pending' AND waits_for IS NULL
                       AND next_attempt_at <= clock_timestamp()))
           ::double precision AS oldest_due_seconds
  FROM work_item
 WHERE dropped_at IS NULL
 GROUP BY kind, state
 ORDER BY kind, state;


-- name: measure_kinds
-- What of each kind waits, is at work, ended in the last hour and gave up.
-- Each number is read from an index of its own, of which what is long over is
-- no part. Times are read once, in subqueries, so that the indexes end there.
SELECT asked.kind, due.pending + parked.pending AS pending, due.due,
       greatest(due.oldest_due_seconds, held.oldest_due_seconds)
           AS oldest_due_seconds,
       held.dispatched, held.running, over.dead,
       ended.done AS done_last_hour, ended.attempts
  FROM unnest(%(kinds)s::text[]) AS asked (kind)
 CROSS JOIN LATERAL (
    SELECT count(*) AS pending,
           count(*) FILTER (WHERE next_attempt_at <= clock.now) AS due,
           coalesce(greatest(extract(
               epoch FROM max(clock.now - next_attempt_at)), 0), 0)
               ::double precision AS oldest_due_seconds
      FROM work_item, (SELECT clock_timestamp() AS now) AS clock
     WHERE kind = asked.kind AND state = 'pending' AND waits_for IS NULL
 ) AS due
 CROSS JOIN LATERAL (
    SELECT count(*) AS pending FROM work_item
     WHERE kind = asked.kind AND waits_for IS NOT NULL
 ) AS parked
 CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE state = 'dispatched') AS dispatched,
           count(*) FILTER (WHERE state = 'running') AS running,
           coalesce(greatest(extract(epoch FROM max(clock.now
               - next_attempt_at) FILTER (WHERE state = 'dispatched')), 0), 0)
               ::double precision AS oldest_due_seconds
      FROM work_item, (SELECT clock_timestamp() AS now) AS clock
     WHERE kind = asked.kind AND batch_id IS NOT NULL
 ) AS held
 CROSS JOIN LATERAL (
    SELECT count(*) AS dead FROM work_item
     WHERE kind = asked.kind AND state = 'dead' AND dropped_at IS NULL
 ) AS over
 CROSS JOIN LATERAL (
    SELECT count(*) AS done,
           coalesce(sum(failures + 1), 0) AS attempts
      FROM work_item
     WHERE kind = asked.kind AND state = 'done' AND dropped_at IS NULL
       AND finished_at > (SELECT clock_timestamp() - interval '1 hour')
 ) AS ended;


-- name: count_ended
-- How many items of some kinds ended in each way since a moment. The moment
-- up to which was counted is the next one to begin from: some seconds ago, so
-- that no end that is being committed is passed over.
SELECT kind, state, count(*) AS items, until.moment AS until
  FROM (SELECT clock_timestamp() - %(lag)s::interval AS moment) AS until
  LEFT JOIN work_item ON kind = ANY(%(kinds)s) AND dropped_at IS NULL
   AND finished_at > coalesce(%(since)s::timestamptz, until.moment)
   AND finished_at <= until.moment
 GROUP BY kind, state, until.moment;


-- name: dead_since
-- What gave up since a moment, the first first.
SELECT id, kind, key, last_error, finished_at FROM work_item
 WHERE kind = ANY(%(kinds)s) AND state = 'dead' AND dropped_at IS NULL
   AND (finished_at, id) > (%(since)s::timestamptz, %(id)s)
   AND finished_at <= clock_timestamp() - %(lag)s::interval
 ORDER BY finished_at, id
 LIMIT %(limit)s;


-- name: dead_items
-- Items of a kind that gave up, held until the end of the transaction.
SELECT id FROM work_item
 WHERE kind = %(kind)s AND state = 'dead' AND dropped_at IS NULL
 ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED;


-- name: read_cursor
-- A cursor's value and version.
SELECT value, version FROM cursor WHERE name = %(name)s;


-- name: cursor_age
-- How long ago a cursor was moved.
SELECT extract(epoch FROM clock_timestamp() - updated_at)::double precision
           AS seconds
  FROM cursor WHERE name = %(name)s;


-- name: create_cursor
-- The first write of a cursor; 0 rows: somebody was first. Its versions begin
-- at the time in microseconds: a cursor that was forgotten and written anew is
-- never taken for the one that a tick has read before.
INSERT INTO cursor (name, value, version)
VALUES (%(name)s, %(value)s,
        (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
ON CONFLICT (name) DO NOTHING
RETURNING version;


-- name: advance_cursor
-- Compare and set; 0 rows: somebody moved it since it was read.
UPDATE cursor
   SET value = %(value)s, version = version + 1,
       updated_at = clock_timestamp()
 WHERE name = %(name)s AND version = %(version)s
RETURNING version;


-- name: forget_cursor
-- Remove a cursor by hand.
DELETE FROM cursor WHERE name = %(name)s;


-- name: lock_slots
-- Let one transaction at a time count and take a peer's slots.
SELECT pg_advisory_xact_lock(
    hashtextextended('moderate.slots.' || %(peer)s, 0)
);


-- name: take_slots
-- Take up to so many of a peer's free slots, and no more than a holder's
-- share; those past their time are free.
INSERT INTO peer_slot (peer, holder, expires_at)
SELECT %(peer)s, %(holder)s, clock_timestamp() + %(life)s
  FROM (SELECT count(*) AS taken,
               count(*) FILTER (WHERE holder = %(holder)s) AS held
          FROM peer_slot
         WHERE peer = %(peer)s AND expires_at > clock_timestamp()) AS now,
       generate_series(1, least(%(wanted)s, %(bound)s - now.taken,
                                %(share)s - now.held))
RETURNING id;


-- name: keep_slots
-- Hold slots until later than was meant: their tasks may be at work still.
UPDATE peer_slot SET expires_at = clock_timestamp() + %(life)s
 WHERE id = ANY(%(ids)s)
RETURNING id;


-- name: note_slot_tasks
-- Say which task each slot is held for.
UPDATE peer_slot SET task_id = noted.task_id
  FROM unnest(%(ids)s::bigint[], %(task_ids)s::bigint[])
    AS noted (id, task_id)
 WHERE peer_slot.id = noted.id
RETURNING peer_slot.id;


-- name: long_held_slots
-- Slots that were taken a while ago, with their tasks, the oldest first.
SELECT id, task_id FROM peer_slot
 WHERE peer = %(peer)s AND task_id IS NOT NULL
   AND taken_at < clock_timestamp() - %(age)s
   AND expires_at > clock_timestamp()
 ORDER BY id LIMIT %(limit)s;


-- name: running_batches
-- How many runs of some kinds are at work.
SELECT count(*) AS batches FROM batch
 WHERE kind = ANY(%(kinds)s) AND state = 'running';


-- name: free_slots
-- Give slots back.
DELETE FROM peer_slot WHERE id = ANY(%(ids)s);


-- name: free_expired_slots
-- Forget slots whose time has passed.
DELETE FROM peer_slot
 WHERE peer = %(peer)s AND expires_at <= clock_timestamp();


-- name: known_dataset_objects
-- What of a dataset is on the platform already.
SELECT dataset, path, format, made_of, content_hash, object_hash, commit_id,
       asset_id, object_id, size_bytes, row_count, columns
  FROM dataset_object
 WHERE dataset = %(dataset)s
 ORDER BY path, format;


-- name: remember_dataset_object
-- Remember the last upload of a file in a format.
INSERT INTO dataset_object
    (dataset, path, format, made_of, content_hash, object_hash, commit_id,
     asset_id, object_id, size_bytes, row_count, columns)
VALUES (%(dataset)s, %(path)s, %(format)s, %(made_of)s, %(content_hash)s,
        %(object_hash)s, %(commit_id)s, %(asset_id)s, %(object_id)s,
        %(size_bytes)s, %(row_count)s, %(columns)s)
ON CONFLICT (dataset, path, format) DO UPDATE
   SET made_of = excluded.made_of, content_hash = excluded.content_hash,
       object_hash = excluded.object_hash, commit_id = excluded.commit_id,
       asset_id = excluded.asset_id, object_id = excluded.object_id,
       size_bytes = excluded.size_bytes, row_count = excluded.row_count,
       columns = excluded.columns, uploaded_at = clock_timestamp();


-- name: remember_reference_upload
-- Remember what the reference has uploaded; nothing is returned where that
-- was known.
INSERT INTO reference_upload (dataset, name, commit_id)
VALUES (%(dataset)s, %(name)s, %(commit_id)s)
ON CONFLICT (dataset, name) DO UPDATE
   SET commit_id = excluded.commit_id, taken_at = clock_timestamp()
 WHERE reference_upload.commit_id <> excluded.commit_id
RETURNING name;


-- name: reference_uploads
-- What the reference has uploaded of a dataset.
SELECT dataset, name, commit_id FROM reference_upload
 WHERE dataset = %(dataset)s
 ORDER BY name;


-- name: lock_dataset
-- Let one run at a time publish a dataset; held by the session.
SELECT pg_try_advisory_lock(
    hashtextextended('moderate.dataset.' || %(dataset)s, 0)
) AS locked;


-- name: known_metadata_sources
-- The databases or prefixes that were ever found.
SELECT flow, name, key, service, place FROM metadata_source
 WHERE flow = %(flow)s
 ORDER BY name;


-- name: add_metadata_source
-- Remember a database or prefix, with the names that it keeps.
INSERT INTO metadata_source (flow, name, key, service, place)
VALUES (%(flow)s, %(name)s, %(key)s, %(service)s, %(place)s)
ON CONFLICT DO NOTHING;


-- name: move_metadata_sources
-- Databases or prefixes that are at a place from now on.
UPDATE metadata_source SET place = %(place)s
 WHERE flow = %(flow)s AND name = ANY(%(names)s);


-- name: forget_metadata_source
-- A database or prefix that is gone, and is gone from OpenMetadata too.
DELETE FROM metadata_source WHERE flow = %(flow)s AND name = %(name)s;


-- name: known_metadata_parts
-- What of some sources is done.
SELECT name, step, kind, part, fingerprint,
       extract(epoch FROM clock_timestamp() - done_at)::float8 AS age
  FROM metadata_part
 WHERE flow = %(flow)s
   AND (%(name)s::text IS NULL OR name = %(name)s);


-- name: add_metadata_parts
-- Remember what is done now.
INSERT INTO metadata_part
       (flow, name, step, kind, part, fingerprint, comments)
SELECT %(flow)s, %(name)s, %(step)s, new.kind, new.part, new.fingerprint,
       new.comments::jsonb
  FROM unnest(%(kinds)s::text[], %(parts)s::text[], %(fingerprints)s::text[],
              %(comments)s::text[])
       AS new (kind, part, fingerprint, comments)
ON CONFLICT (flow, name, step, kind, md5(part)) DO UPDATE
   SET fingerprint = excluded.fingerprint, comments = excluded.comments,
       done_at = clock_timestamp();


-- name: announce_metadata_parts
-- Remember what is about to be brought over: it is known from now on,
-- whatever becomes of it, and is to be made until it is done.
INSERT INTO metadata_part (flow, name, step, kind, part, fingerprint)
SELECT %(flow)s, %(name)s, 'metadata', new.kind, new.part, ''
  FROM unnest(%(kinds)s::text[], %(parts)s::text[]) AS new (kind, part)
ON CONFLICT DO NOTHING;


-- name: known_metadata_comments
-- The comments that were brought over, where there are any.
SELECT kind, part, comments
  FROM metadata_part
 WHERE flow = %(flow)s AND name = %(name)s AND step = 'metadata'
   AND comments <> '{}';


-- name: drop_metadata_parts
-- Forget what is gone; a table that is gone has no profile either.
DELETE FROM metadata_part
 USING unnest(%(kinds)s::text[], %(parts)s::text[]) AS gone (kind, part)
 WHERE flow = %(flow)s AND name = %(name)s
   AND metadata_part.kind = gone.kind AND metadata_part.part = gone.part;


-- name: redo_metadata_parts
-- Let all of some sources be made again.
UPDATE metadata_part SET fingerprint = ''
 WHERE flow = %(flow)s AND name = ANY(%(names)s) AND fingerprint <> '';


-- name: lock_metadata_source
-- Let one ingestion at a time be at a source; held by the session.
SELECT pg_try_advisory_lock(hashtextextended(
    'moderate.metadata.' || %(flow)s || '.' || %(name)s, 0
)) AS locked;
