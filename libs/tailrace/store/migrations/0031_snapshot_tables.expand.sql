-- Where what runs of a sync compare with is kept: in a table of a source's warehouse, or with NULL here, in pages.
-- Whoever writes there holds the last fence. What the table was last known to say is told by how often it was written.
ALTER TABLE snapshot_targets
  ADD COLUMN base_source text,
  ADD COLUMN base_fence bigint NOT NULL DEFAULT 0,
  ADD COLUMN base_writes bigint NOT NULL DEFAULT 0,
  ADD COLUMN base_entries bigint NOT NULL DEFAULT 0;
