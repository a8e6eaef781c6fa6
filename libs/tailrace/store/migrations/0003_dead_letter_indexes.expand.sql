-- Counting what is open, by sync and code.
CREATE INDEX dead_letters_open ON dead_letters (workspace_id, sync_id, error_code, first_seen_at)
  WHERE state IN ('open', 'replaying');
-- Every letter that a row ever had.
CREATE INDEX dead_letters_of_row ON dead_letters (sync_id, dedupe_key);
-- What is past its time.
CREATE INDEX dead_letters_ended ON dead_letters (resolved_at) WHERE state = 'resolved';
