-- When what is known of a sync's rows was imported last: no run of this installation delivered it.
ALTER TABLE snapshot_targets ADD COLUMN imported_at timestamptz;
