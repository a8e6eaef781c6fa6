-- The version of a sync whose destination, object and key its snapshot speaks of.
CREATE TABLE snapshot_targets (
  sync_id text PRIMARY KEY REFERENCES syncs,
  version int NOT NULL
);
INSERT INTO snapshot_targets (sync_id, version)
SELECT DISTINCT ON (sync_id) sync_id, sync_version FROM runs
WHERE EXISTS (SELECT FROM run_shards WHERE run_id = runs.id AND checkpoint_seq > 0)
ORDER BY sync_id, queued_at DESC;
