-- How often a dead letter was handed to a replay, and when last: the next one has to wait longer each time.
ALTER TABLE dead_letters ADD COLUMN replays int NOT NULL DEFAULT 0, ADD COLUMN replayed_at timestamptz;
