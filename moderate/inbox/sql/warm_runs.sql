-- The statements of the fast path: runs offered to warm workers. As in
-- queries.sql, a transition carries its guard in the WHERE clause.


-- name: offer_warm_run
-- Offer a run to the workers; a run is offered once in its life.
INSERT INTO warm_run (run_id, image, priority)
VALUES (%(run_id)s, %(image)s, %(priority)s)
ON CONFLICT (run_id) DO NOTHING
RETURNING run_id;


-- name: cancel_warm_run
-- waiting -> over, as nobody has begun it; of one that is at work, the worker
-- is told to stop it.
UPDATE warm_run
   SET cancel_asked_at = clock_timestamp(),
       ending = CASE WHEN state = 'waiting' THEN 'cancelled' END,
       ended_at = CASE WHEN state = 'waiting' THEN clock_timestamp() END,
       state = CASE WHEN state = 'waiting' THEN 'over' ELSE state END
 WHERE run_id = %(run_id)s AND state <> 'over'
RETURNING state, pg_notify('moderate_warm_cancel', run_id);


-- name: look_at_warm_run
-- How a run stands. Nobody is silent while the server itself was down.
SELECT run.state,
       least(clock_timestamp() - worker.heartbeat_at,
             clock_timestamp() - pg_postmaster_start_time()) AS silence
  FROM warm_run AS run LEFT JOIN warm_worker AS worker
       ON worker.id = run.worker_id
 WHERE run.run_id = %(run_id)s;


-- name: join_warm_workers
-- A worker is there.
INSERT INTO warm_worker (id, host, pid, image, slots)
VALUES (%(worker)s, %(host)s, %(pid)s, %(image)s, %(slots)s)
ON CONFLICT (id) DO UPDATE SET heartbeat_at = clock_timestamp();


-- name: beat_warm_worker
-- A worker is alive; 0 rows: it was given up, and must end its runs.
UPDATE warm_worker SET heartbeat_at = clock_timestamp() WHERE id = %(worker)s
RETURNING id;


-- name: leave_warm_workers
-- A worker has ended, and left nothing behind.
DELETE FROM warm_worker WHERE id = %(worker)s;


-- name: claim_warm_runs
-- waiting -> claimed. A worker that was given up claims nothing; a run that
-- was made for another image waits for a worker of that image.
WITH chosen AS (
    SELECT run_id FROM warm_run
     WHERE state = 'waiting'
       AND (image IS NULL OR image = %(image)s::text)
       AND EXISTS (SELECT FROM warm_worker WHERE id = %(worker)s)
     ORDER BY priority DESC, created_at, run_id
     LIMIT %(limit)s
       FOR UPDATE SKIP LOCKED
)
UPDATE warm_run AS run
   SET state = 'claimed', worker_id = %(worker)s,
       claimed_at = clock_timestamp()
  FROM chosen
 WHERE run.run_id = chosen.run_id
RETURNING run.run_id;


-- name: note_warm_pid
-- Which process a run has: for people, nothing depends on it.
UPDATE warm_run SET pid = %(pid)s
 WHERE run_id = %(run_id)s AND worker_id = %(worker)s AND state = 'claimed';


-- name: held_warm_runs
-- What a worker has, and which of it somebody has cancelled. The answer to a
-- claim may be lost: here the worker sees what it got.
SELECT run_id, cancel_asked_at IS NOT NULL AS is_cancelled
  FROM warm_run WHERE worker_id = %(worker)s AND state = 'claimed';


-- name: end_warm_run
-- claimed -> over: its process is gone.
UPDATE warm_run
   SET state = 'over', ending = %(ending)s, ended_at = clock_timestamp()
 WHERE run_id = %(run_id)s AND state = 'claimed'
   AND (worker_id = %(worker)s OR %(worker)s::uuid IS NULL)
RETURNING run_id;


-- name: drop_silent_workers
-- Give up the workers that are silent: they claim nothing more, and end their
-- runs if they live. Nobody is given up for the silence of the server itself.
DELETE FROM warm_worker
 WHERE heartbeat_at < clock_timestamp() - %(silence)s
   AND pg_postmaster_start_time() < clock_timestamp() - %(silence)s;


-- name: lock_lost_warm_runs
-- Runs whose worker is gone; held by whoever tells Dagster of their end.
SELECT run_id FROM warm_run AS run
 WHERE state = 'claimed'
   AND NOT EXISTS (SELECT FROM warm_worker WHERE id = run.worker_id)
 ORDER BY run_id
 LIMIT %(limit)s
   FOR UPDATE SKIP LOCKED;


-- name: prune_warm_runs
-- Forget runs that are long over; Dagster still knows them.
DELETE FROM warm_run
 WHERE state = 'over' AND ended_at < clock_timestamp() - %(age)s;


-- name: next_due
-- How long until the next item is due that isn't yet.
SELECT min(next_attempt_at) - clock_timestamp() AS wait
  FROM work_item
 WHERE kind = ANY(%(kinds)s) AND state = 'pending' AND waits_for IS NULL
   AND next_attempt_at > (SELECT clock_timestamp());


-- name: lock_submission
-- Let one submitter at a time create and launch the run of a batch.
SELECT pg_try_advisory_xact_lock(
    hashtextextended('moderate.submit.' || %(run_key)s, 0)
) AS got;
