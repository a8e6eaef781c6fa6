-- When a workspace was changed last.
ALTER TABLE workspaces ADD COLUMN updated_at timestamptz NOT NULL DEFAULT clock_timestamp();
