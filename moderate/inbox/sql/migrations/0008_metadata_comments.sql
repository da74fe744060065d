-- The comments of the source, as hashes, that were last brought over as
-- descriptions: one that is still so in OpenMetadata may be replaced, any
-- other a person wrote.

ALTER TABLE metadata_part
    ADD COLUMN comments jsonb NOT NULL DEFAULT '{}';
