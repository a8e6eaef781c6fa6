-- When a token was used last, to the minute: whoever cleans up sees which are forgotten.
ALTER TABLE tokens ADD COLUMN last_used_at timestamptz;
