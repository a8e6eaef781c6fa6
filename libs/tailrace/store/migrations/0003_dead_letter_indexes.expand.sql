-- Counting by sync and code. Without a column of its own for each letter the indexes stay small enough to be read whole.
CREATE INDEX dead_letters_open ON dead_letters (workspace_id, sync_id, error_code)
  WHERE state IN ('open', 'replaying');
CREATE INDEX dead_letters_resolved ON dead_letters (workspace_id, sync_id) WHERE state = 'resolved';
-- Every letter that a row ever had.
CREATE INDEX dead_letters_of_row ON dead_letters (sync_id, dedupe_key);
-- What is past its time.
CREATE INDEX dead_letters_ended ON dead_letters (resolved_at) WHERE state = 'resolved';
