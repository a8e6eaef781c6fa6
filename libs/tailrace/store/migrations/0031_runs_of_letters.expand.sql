-- A dead letter is of a run of its sync and its workspace, and that run stays: told once for each statement that writes
-- letters, not for each letter. Two foreign keys took a third of what a letter cost the server.
CREATE FUNCTION check_runs_of_letters() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM FROM runs WHERE id IN (SELECT run_id FROM fresh) FOR KEY SHARE;
  IF EXISTS (
    SELECT FROM (SELECT DISTINCT run_id, sync_id, workspace_id FROM fresh) AS named WHERE NOT EXISTS (
      SELECT FROM runs WHERE runs.id = named.run_id AND runs.sync_id = named.sync_id
        AND runs.workspace_id = named.workspace_id))
  THEN
    RAISE EXCEPTION 'a dead letter names no run of its sync' USING ERRCODE = 'foreign_key_violation';
  END IF;
  RETURN NULL;
END $$;
CREATE FUNCTION check_run_of_letter() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM FROM runs WHERE id = NEW.run_id AND sync_id = NEW.sync_id AND workspace_id = NEW.workspace_id FOR KEY SHARE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'a dead letter names no run of its sync' USING ERRCODE = 'foreign_key_violation';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER dead_letters_are_of_runs AFTER INSERT ON dead_letters
  REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION check_runs_of_letters();
CREATE TRIGGER dead_letters_stay_of_runs AFTER UPDATE ON dead_letters FOR EACH ROW
  WHEN ((OLD.run_id, OLD.sync_id, OLD.workspace_id) IS DISTINCT FROM (NEW.run_id, NEW.sync_id, NEW.workspace_id))
  EXECUTE FUNCTION check_run_of_letter();
