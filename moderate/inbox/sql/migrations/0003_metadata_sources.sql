-- What the metadata ingestion has brought into OpenMetadata: each database
-- and prefix, its two steps, and each table as it was when it succeeded, so
-- that only what changed is paid for.

CREATE TABLE metadata_source (
    -- postgres or datalake.
    flow     text NOT NULL CHECK (flow IN ('postgres', 'datalake')),
    -- The database or the prefix.
    name     text NOT NULL,
    -- Dagster's mapping key, and the service in OpenMetadata.
    key      text NOT NULL,
    service  text NOT NULL,
    found_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- What the last look asked for: steps, with the look's own name. A step
    -- takes its order from here, in whatever process it runs.
    look     text,
    wanted   jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (flow, name),
    UNIQUE (flow, key),
    UNIQUE (service)
);

CREATE TABLE metadata_step (
    flow    text NOT NULL,
    name    text NOT NULL,
    step    text NOT NULL CHECK (step IN ('metadata', 'profile')),
    -- What everything in it is made of beside the source: the server, our
    -- settings, the framework's version. Another one: all of it again.
    made_of text NOT NULL,
    -- The last look whose order was carried out to its end.
    look    text NOT NULL,
    done_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (flow, name, step),
    FOREIGN KEY (flow, name) REFERENCES metadata_source ON DELETE CASCADE
);

CREATE TABLE metadata_part (
    flow        text NOT NULL,
    name        text NOT NULL,
    step        text NOT NULL CHECK (step IN ('metadata', 'profile')),
    -- schema, table or procedure, and its name within the source.
    kind        text NOT NULL,
    part        text NOT NULL,
    fingerprint text NOT NULL,
    done_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    FOREIGN KEY (flow, name) REFERENCES metadata_source ON DELETE CASCADE
);

-- Keys of objects are up to 1,024 bytes, names of tables in several parts
-- longer still: an index on them as they are could refuse one.
CREATE UNIQUE INDEX metadata_part_key
    ON metadata_part (flow, name, step, kind, md5(part));
