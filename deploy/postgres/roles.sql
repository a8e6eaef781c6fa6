-- A role that owns the tables and migrates them, a role for each service, and tailrace_app, which may do what all of them
-- may: for one role instead of four, and for the commands. None but the first can change the schema, none can lift row
-- level security or touch an audit record once it is written.
--
-- Run as a superuser on the database of Tailrace, before `tailrace db upgrade`; running it again is harmless. Then give
-- each a password (ALTER ROLE ... PASSWORD), migrate with tailrace_owner, which gives the roles of the services what each
-- needs, and set TAILRACE_DATABASE_URL of each service to its role.
DO $$
DECLARE
  each text;
BEGIN
  FOREACH each IN ARRAY ARRAY['owner', 'app', 'gateway', 'scheduler', 'executor', 'dlq'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tailrace_' || each) THEN
      EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE', 'tailrace_' || each);
    END IF;
    -- Behind a pooler that drops start parameters the services would see no row without this.
    EXECUTE format('ALTER ROLE %I SET app.workspace_id = %L', 'tailrace_' || each, '*');
    EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', 'tailrace_' || each);
  END LOOP;
END $$;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT CREATE ON SCHEMA public TO tailrace_owner;

ALTER DEFAULT PRIVILEGES FOR ROLE tailrace_owner IN SCHEMA public
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO tailrace_app;
ALTER DEFAULT PRIVILEGES FOR ROLE tailrace_owner IN SCHEMA public
  GRANT USAGE ON SEQUENCES TO tailrace_app;
