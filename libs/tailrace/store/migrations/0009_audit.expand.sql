-- Who changed what: a chain for each workspace, in which every record's digest covers the one before it. `before` and
-- `after` are json, not jsonb, so that the text which was digested stays as it is.
CREATE TABLE audit_records (
  workspace_id text NOT NULL REFERENCES workspaces,
  number bigint NOT NULL CHECK (number > 0),
  at timestamptz NOT NULL,
  actor text NOT NULL,
  address text NOT NULL,
  action text NOT NULL,
  object_id text NOT NULL,
  before json,
  after json,
  digest bytea NOT NULL,
  PRIMARY KEY (workspace_id, number)
);

CREATE FUNCTION keep_audit_records() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'audit records are never changed' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_records_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_records
  EXECUTE FUNCTION keep_audit_records();

-- The end of each chain, sealed with the secret key: a record that is cut off at the end is missed too.
CREATE TABLE audit_heads (
  workspace_id text PRIMARY KEY REFERENCES workspaces,
  number bigint NOT NULL,
  digest bytea NOT NULL,
  seal bytea NOT NULL
);

ALTER TABLE audit_records ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY in_sight ON audit_records
  USING ((SELECT current_setting('app.workspace_id', true)) IN (workspace_id, '*'));

ALTER TABLE audit_heads ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY in_sight ON audit_heads
  USING ((SELECT current_setting('app.workspace_id', true)) IN (workspace_id, '*'));
