-- What the metadata ingestion has brought into OpenMetadata: each table of
-- each database and each object of each prefix as it was when it succeeded,
-- so that only what changed is paid for, and what is gone is known.

CREATE TABLE metadata_source (
    -- postgres or datalake.
    flow     text NOT NULL CHECK (flow IN ('postgres', 'datalake')),
    -- The database or the prefix.
    name     text NOT NULL,
    -- Dagster's mapping key, and the service in OpenMetadata.
    key      text NOT NULL,
    service  text NOT NULL UNIQUE,
    found_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (flow, name),
    UNIQUE (flow, key)
);

CREATE TABLE metadata_part (
    flow        text NOT NULL,
    name        text NOT NULL,
    step        text NOT NULL CHECK (step IN ('metadata', 'profile')),
    -- database, schema, table or procedure, and its name within the source.
    kind        text NOT NULL,
    part        text NOT NULL,
    -- What it was made of; empty: it is there, but is to be made again.
    fingerprint text NOT NULL,
    done_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    FOREIGN KEY (flow, name) REFERENCES metadata_source ON DELETE CASCADE
);

-- Keys of objects are up to 1,024 bytes, names of tables in several parts
-- longer still: an index on them as they are could refuse one.
CREATE UNIQUE INDEX metadata_part_key
    ON metadata_part (flow, name, step, kind, md5(part));
