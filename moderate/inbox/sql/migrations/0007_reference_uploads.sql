-- What the reference implementation has put on the platform, as it remembered
-- it: a file's name and the commit of the whole repository that it was taken
-- from. The dataset flow finds out which of those files are unchanged.

CREATE TABLE reference_upload (
    dataset   text NOT NULL,
    -- The reference's name of the file: a slug of its path.
    name      text NOT NULL,
    commit_id text NOT NULL,
    taken_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (dataset, name)
);
