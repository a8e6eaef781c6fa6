-- A second lock behind the filter of each query: a transaction sees the workspace that app.workspace_id names; '*' is all
-- of them, no setting is none. FORCE binds the owner of the tables too; superusers and BYPASSRLS are never bound.
-- The setting is asked once a statement, not once a row. Pages of snapshots have no policy: comparing their keys is not
-- leakproof, so that the policy would take the index away, and no operation of the API reads them.
ALTER TABLE workspaces ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY in_sight ON workspaces
  USING ((SELECT current_setting('app.workspace_id', true)) IN (id, '*'));

ALTER TABLE tokens ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY in_sight ON tokens
  USING ((SELECT current_setting('app.workspace_id', true)) IN (workspace_id, '*'));

ALTER TABLE connections ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY in_sight ON connections
  USING ((SELECT current_setting('app.workspace_id', true)) IN (workspace_id, '*'));

ALTER TABLE syncs ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY in_sight ON syncs
  USING ((SELECT current_setting('app.workspace_id', true)) IN (workspace_id, '*'));

ALTER TABLE runs ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY in_sight ON runs
  USING ((SELECT current_setting('app.workspace_id', true)) IN (workspace_id, '*'));

ALTER TABLE dead_letters ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY in_sight ON dead_letters
  USING ((SELECT current_setting('app.workspace_id', true)) IN (workspace_id, '*'));

ALTER TABLE idempotency_keys ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY in_sight ON idempotency_keys
  USING ((SELECT current_setting('app.workspace_id', true)) IN (workspace_id, '*'));

-- These belong to a workspace by what they are a part of, which has to be in sight itself.
ALTER TABLE sync_versions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY in_sight ON sync_versions
  USING ((SELECT current_setting('app.workspace_id', true)) = '*' OR EXISTS (SELECT FROM syncs WHERE id = sync_id));

ALTER TABLE run_shards ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY in_sight ON run_shards
  USING ((SELECT current_setting('app.workspace_id', true)) = '*' OR EXISTS (SELECT FROM runs WHERE id = run_id));

ALTER TABLE schedule_ticks ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY in_sight ON schedule_ticks
  USING ((SELECT current_setting('app.workspace_id', true)) = '*' OR EXISTS (SELECT FROM syncs WHERE id = sync_id));
