-- The other side of 0031, in a transaction of its own: no two tables are locked at once.
CREATE FUNCTION keep_runs_of_letters() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM dead_letters WHERE run_id = OLD.id) THEN
    RAISE EXCEPTION 'a run with dead letters is never removed' USING ERRCODE = 'foreign_key_violation';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER runs_keep_letters AFTER DELETE OR UPDATE OF id, sync_id, workspace_id ON runs
  FOR EACH ROW EXECUTE FUNCTION keep_runs_of_letters();
