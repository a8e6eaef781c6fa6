-- A run that waits for its destination: since when it has got no row through, how often it was put off, and why.
ALTER TABLE run_shards ADD COLUMN paused_since timestamptz, ADD COLUMN pauses int NOT NULL DEFAULT 0,
  ADD COLUMN pause_reason text;
