-- Who worked on a run and when, told by the shard itself whoever changes it: a few rows a run, none for a checkpoint.
CREATE TABLE run_moments (
  id bigserial PRIMARY KEY,
  run_id text NOT NULL REFERENCES runs,
  shard smallint NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  what text NOT NULL CHECK (what IN ('claimed', 'taken_over', 'handed_back')),
  owner text,
  checkpoint_seq bigint NOT NULL,
  not_before timestamptz
);
CREATE INDEX run_moments_of_run ON run_moments (run_id, id);

CREATE FUNCTION note_run_moment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO run_moments (run_id, shard, what, owner, checkpoint_seq, not_before) VALUES (
    NEW.run_id, NEW.shard,
    CASE WHEN NEW.state = 'queued' THEN 'handed_back' WHEN OLD.state = 'queued' THEN 'claimed' ELSE 'taken_over' END,
    NEW.lease_owner, NEW.checkpoint_seq, CASE NEW.state WHEN 'queued' THEN NEW.not_before END);
  RETURN NULL;
END $$;
CREATE TRIGGER run_shards_tell AFTER UPDATE ON run_shards FOR EACH ROW
  WHEN (OLD.lease_token IS DISTINCT FROM NEW.lease_token AND NEW.state <> 'done')
  EXECUTE FUNCTION note_run_moment();

-- The dead letters that a run saw last.
CREATE INDEX dead_letters_of_run ON dead_letters (run_id, first_seen_at, id);
