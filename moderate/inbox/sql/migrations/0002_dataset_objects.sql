-- What the dataset flow has put on the platform: the last version of each
-- file in each format, so that only what changed is fetched and uploaded.

CREATE TABLE dataset_object (
    dataset      text        NOT NULL,
    path         text        NOT NULL,
    format       text        NOT NULL CHECK (format IN ('parquet', 'csv')),
    -- Git's name of the content, with how it was read and converted.
    made_of      text        NOT NULL,
    -- SHA-256 of the source and of the object, as hexadecimal digits.
    content_hash text        NOT NULL,
    object_hash  text        NOT NULL,
    commit_id    text        NOT NULL,
    asset_id     bigint      NOT NULL,
    object_id    bigint      NOT NULL,
    size_bytes   bigint      NOT NULL CHECK (size_bytes >= 0),
    row_count    bigint      NOT NULL CHECK (row_count >= 0),
    -- Names and types of the columns, in order.
    columns      jsonb       NOT NULL,
    uploaded_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (dataset, path, format)
);
