CREATE TABLE workspaces (
  id text PRIMARY KEY,
  name text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE tokens (
  id text PRIMARY KEY,
  workspace_id text NOT NULL REFERENCES workspaces,
  name text NOT NULL,
  role text NOT NULL CHECK (role IN ('viewer', 'editor', 'admin')),
  secret_hmac bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at timestamptz,
  revoked_at timestamptz
);

-- Sources and destinations: connections with secrets.
CREATE TABLE connections (
  id text PRIMARY KEY,
  workspace_id text NOT NULL REFERENCES workspaces,
  kind text NOT NULL CHECK (kind IN ('source', 'destination')),
  name text NOT NULL,
  connector text NOT NULL,
  settings jsonb NOT NULL,
  secrets bytea NOT NULL,
  requests_per_s double precision CHECK (requests_per_s > 0),
  max_in_flight int CHECK (max_in_flight > 0),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  deleted_at timestamptz
);
CREATE INDEX connections_listed ON connections (workspace_id, kind, created_at, id) WHERE deleted_at IS NULL;

CREATE TABLE syncs (
  id text PRIMARY KEY,
  workspace_id text NOT NULL REFERENCES workspaces,
  name text NOT NULL,
  destination_id text NOT NULL REFERENCES connections,
  version int NOT NULL DEFAULT 1,
  enabled boolean NOT NULL DEFAULT true,
  definition jsonb NOT NULL,
  schedule jsonb NOT NULL,
  next_run_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  deleted_at timestamptz
);
CREATE INDEX syncs_listed ON syncs (workspace_id, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX syncs_due ON syncs (next_run_at) WHERE next_run_at IS NOT NULL AND enabled AND deleted_at IS NULL;

CREATE TABLE sync_versions (
  sync_id text NOT NULL REFERENCES syncs,
  version int NOT NULL,
  definition jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (sync_id, version)
);

CREATE TABLE runs (
  id text PRIMARY KEY,
  workspace_id text NOT NULL,
  sync_id text NOT NULL REFERENCES syncs,
  sync_version int NOT NULL,
  kind text NOT NULL CHECK (kind IN ('incremental', 'full', 'replay')),
  trigger text NOT NULL CHECK (trigger IN ('api', 'schedule', 'event', 'replay')),
  requested_by text NOT NULL,
  status text NOT NULL CHECK (status IN ('queued', 'running', 'cancelling', 'succeeded', 'failed', 'cancelled')),
  cancel_requested_at timestamptz,
  cancel_requested_by text,
  queued_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  started_at timestamptz,
  finished_at timestamptz,
  error_code text,
  error_message text
);
CREATE UNIQUE INDEX runs_one_active ON runs (sync_id) WHERE status IN ('queued', 'running', 'cancelling');
CREATE INDEX runs_of_workspace ON runs (workspace_id, queued_at, id);
CREATE INDEX runs_of_sync ON runs (sync_id, queued_at, id);

CREATE FUNCTION keep_terminal_status() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'run % has ended as % and cannot become %', OLD.id, OLD.status, NEW.status;
END $$;
CREATE TRIGGER runs_terminal_is_terminal BEFORE UPDATE ON runs FOR EACH ROW
  WHEN (OLD.status IN ('succeeded', 'failed', 'cancelled') AND NEW.status IS DISTINCT FROM OLD.status)
  EXECUTE FUNCTION keep_terminal_status();

-- The part of a run that one executor owns.
CREATE TABLE run_shards (
  run_id text NOT NULL REFERENCES runs,
  shard smallint NOT NULL,
  state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'done')),
  queued_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  not_before timestamptz,
  lease_epoch bigint NOT NULL DEFAULT 0,
  lease_token uuid,
  lease_owner text,
  lease_expires_at timestamptz,
  heartbeat_seq bigint NOT NULL DEFAULT 0,
  checkpoint_seq bigint NOT NULL DEFAULT 0,
  checkpoint jsonb,
  attempts_without_progress int NOT NULL DEFAULT 0,
  rows_read bigint NOT NULL DEFAULT 0,
  rows_delivered bigint NOT NULL DEFAULT 0,
  rows_skipped bigint NOT NULL DEFAULT 0,
  rows_rejected bigint NOT NULL DEFAULT 0,
  rows_removed bigint NOT NULL DEFAULT 0,
  rows_deleted bigint NOT NULL DEFAULT 0,
  rows_kept bigint NOT NULL DEFAULT 0,
  rows_undeleted bigint NOT NULL DEFAULT 0,
  reasons jsonb NOT NULL DEFAULT '{}',
  PRIMARY KEY (run_id, shard)
);
CREATE INDEX run_shards_claimable ON run_shards (queued_at) WHERE state <> 'done';

-- What the destination holds by our account: sorted (key, hashes) pairs packed into pages.
-- Level 0 is the merged base, level 1 what an open run has settled.
CREATE TABLE snapshot_pages (
  sync_id text NOT NULL REFERENCES syncs,
  level smallint NOT NULL CHECK (level IN (0, 1)),
  first_key text[] COLLATE "C" NOT NULL,
  last_key text[] COLLATE "C" NOT NULL,
  entries int NOT NULL CHECK (entries > 0),
  has_tombstones boolean NOT NULL,
  algorithm smallint NOT NULL,
  body bytea NOT NULL,
  PRIMARY KEY (sync_id, level, first_key)
);
ALTER TABLE snapshot_pages ALTER COLUMN body SET STORAGE EXTERNAL;

CREATE TABLE dead_letters (
  id text PRIMARY KEY,
  workspace_id text NOT NULL,
  sync_id text NOT NULL REFERENCES syncs,
  run_id text NOT NULL REFERENCES runs,
  dedupe_key bytea NOT NULL,
  row_key text[],
  operation text NOT NULL,
  row_hash bytea,
  error_code text NOT NULL,
  message text NOT NULL,
  record_keys jsonb NOT NULL,
  payload bytea,
  payload_truncated boolean NOT NULL DEFAULT false,
  attempts int NOT NULL DEFAULT 1,
  first_seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  last_seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  noticed_at timestamptz,
  state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'replaying', 'resolved')),
  resolution text,
  resolved_at timestamptz,
  resolved_by text,
  replay_run_id text REFERENCES runs
);
CREATE UNIQUE INDEX dead_letters_one_open ON dead_letters (sync_id, dedupe_key, operation)
  WHERE state IN ('open', 'replaying');
CREATE INDEX dead_letters_listed ON dead_letters (workspace_id, (state = 'resolved'), first_seen_at, id);
CREATE INDEX dead_letters_of_sync ON dead_letters (sync_id, (state = 'resolved'), first_seen_at, id);
CREATE INDEX dead_letters_replayed ON dead_letters (replay_run_id) WHERE state = 'replaying';
CREATE INDEX dead_letters_unnoticed ON dead_letters (first_seen_at) WHERE noticed_at IS NULL;

CREATE TABLE schedule_ticks (
  sync_id text NOT NULL REFERENCES syncs,
  scheduled_for timestamptz NOT NULL,
  run_id text REFERENCES runs,
  outcome text NOT NULL CHECK (outcome IN ('started', 'skipped_overlap', 'coalesced', 'missed_window')),
  PRIMARY KEY (sync_id, scheduled_for)
);

CREATE TABLE outbox (
  id bigserial PRIMARY KEY,
  shard smallint NOT NULL,
  topic text NOT NULL,
  key text NOT NULL,
  event_id text NOT NULL UNIQUE,
  body bytea NOT NULL CHECK (octet_length(body) <= 16384),
  traceparent text,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX outbox_of_shard ON outbox (shard, id);

CREATE TABLE outbox_shards (
  shard smallint PRIMARY KEY,
  lease_token uuid,
  lease_expires_at timestamptz
);
INSERT INTO outbox_shards (shard) SELECT generate_series(0, 15);

-- Events from outside that were taken in, by CloudEvents source and id.
CREATE TABLE inbox (
  source text NOT NULL,
  event_id text NOT NULL,
  received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (source, event_id)
);
CREATE INDEX inbox_by_age ON inbox (received_at);

CREATE TABLE rate_limits (
  scope text PRIMARY KEY,
  tat timestamptz NOT NULL,
  blocked_until timestamptz
);

CREATE TABLE destination_slots (
  scope text NOT NULL,
  slot int NOT NULL,
  lease_token uuid,
  lease_expires_at timestamptz,
  PRIMARY KEY (scope, slot)
);

CREATE TABLE idempotency_keys (
  workspace_id text NOT NULL,
  key text NOT NULL,
  request_sha256 bytea NOT NULL,
  status int,
  response bytea,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (workspace_id, key)
);
