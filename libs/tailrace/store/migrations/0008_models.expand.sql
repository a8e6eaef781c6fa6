-- Named queries that several syncs may share.
CREATE TABLE models (
  id text PRIMARY KEY,
  workspace_id text NOT NULL REFERENCES workspaces,
  source_id text NOT NULL REFERENCES connections,
  name text NOT NULL,
  kind text NOT NULL CHECK (kind IN ('model', 'table')),
  config jsonb NOT NULL,
  query text NOT NULL,
  enabled boolean NOT NULL,
  external_id text,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  deleted_at timestamptz
);
CREATE INDEX models_listed ON models (workspace_id, created_at, id) WHERE deleted_at IS NULL;

-- What links a sync to the world outside; a sync without a row here has no such links.
CREATE TABLE sync_links (
  sync_id text PRIMARY KEY REFERENCES syncs,
  workspace_id text NOT NULL REFERENCES workspaces,
  model_id text REFERENCES models,
  external_id text,
  paused_with_model boolean NOT NULL DEFAULT false,
  said jsonb NOT NULL
);
CREATE INDEX sync_links_of_model ON sync_links (model_id) WHERE model_id IS NOT NULL;

-- Rows of queries that somebody looks at, sealed, for minutes.
CREATE TABLE previews (
  id text PRIMARY KEY,
  workspace_id text NOT NULL REFERENCES workspaces,
  rows bytea NOT NULL,
  error text,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX previews_by_age ON previews (created_at);

ALTER TABLE models ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY in_sight ON models
  USING ((SELECT current_setting('app.workspace_id', true)) IN (workspace_id, '*'));

ALTER TABLE sync_links ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY in_sight ON sync_links
  USING ((SELECT current_setting('app.workspace_id', true)) IN (workspace_id, '*'));

ALTER TABLE previews ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY in_sight ON previews
  USING ((SELECT current_setting('app.workspace_id', true)) IN (workspace_id, '*'));
