-- Records wait here, committed with what they tell of, until they have their place in the chain of their workspace. One
-- leaves only when it is there.
CREATE TABLE audit_waiting (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  workspace_id text NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  actor text NOT NULL,
  address text NOT NULL,
  action text NOT NULL,
  object_id text NOT NULL,
  before json,
  after json,
  seal bytea NOT NULL
);
ALTER TABLE audit_records ADD COLUMN waited_as bigint UNIQUE;

CREATE FUNCTION keep_audit_waiting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM audit_records WHERE waited_as = OLD.id) THEN
    RAISE EXCEPTION 'audit records are never dropped' USING ERRCODE = 'insufficient_privilege';
  END IF;
  RETURN OLD;
END $$;
CREATE TRIGGER audit_waiting_leaves BEFORE DELETE ON audit_waiting FOR EACH ROW EXECUTE FUNCTION keep_audit_waiting();
CREATE TRIGGER audit_waiting_stays BEFORE UPDATE OR TRUNCATE ON audit_waiting EXECUTE FUNCTION keep_audit_records();

ALTER TABLE audit_waiting ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY in_sight ON audit_waiting
  USING ((SELECT current_setting('app.workspace_id', true)) IN (workspace_id, '*'));
