-- Two roles: one owns the tables and migrates them, the other is what the services log in as. The second can neither
-- change the schema, nor lift row level security, nor touch an audit record once it is written.
--
-- Run as a superuser on the database of Tailrace, before the first `tailrace db upgrade`; running it again is harmless.
-- Then give both a password (ALTER ROLE ... PASSWORD), migrate with tailrace_owner, and set TAILRACE_DATABASE_URL of
-- the services to tailrace_app.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tailrace_owner') THEN
    CREATE ROLE tailrace_owner LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE;
  END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tailrace_app') THEN
    CREATE ROLE tailrace_app LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE;
  END IF;
END $$;

-- Behind a pooler that drops start parameters the services would see no row without this.
ALTER ROLE tailrace_app SET app.workspace_id = '*';
ALTER ROLE tailrace_owner SET app.workspace_id = '*';

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO tailrace_owner;
GRANT USAGE ON SCHEMA public TO tailrace_app;

ALTER DEFAULT PRIVILEGES FOR ROLE tailrace_owner IN SCHEMA public
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO tailrace_app;
ALTER DEFAULT PRIVILEGES FOR ROLE tailrace_owner IN SCHEMA public
  GRANT USAGE ON SEQUENCES TO tailrace_app;
