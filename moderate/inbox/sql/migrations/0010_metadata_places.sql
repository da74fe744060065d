-- Where each database or prefix was found, as a hash: one that is not at
-- another server or in another bucket is not gone from its own. Empty: found
-- before this was kept; the next look takes it for what it looks at.

ALTER TABLE metadata_source
    ADD COLUMN place text NOT NULL DEFAULT '';
