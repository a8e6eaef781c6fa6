-- A run over many rows is shared out: each shard ends with a key, begins behind the one before, and may fail alone.
ALTER TABLE run_shards
  ADD COLUMN key_until text[],
  ADD COLUMN error_code text,
  ADD COLUMN error_message text;
