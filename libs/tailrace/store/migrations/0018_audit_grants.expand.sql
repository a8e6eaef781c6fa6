-- Whoever the services log in as, if that is not the owner, may add audit records and read them, no more.
DO $$
DECLARE
  grantee text;
BEGIN
  FOR grantee IN
    SELECT DISTINCT privileges.grantee FROM information_schema.role_table_grants AS privileges
    WHERE table_schema = current_schema() AND table_name = 'audit_records' AND privileges.grantee <> current_user
  LOOP
    EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON audit_records FROM %I', grantee);
    EXECUTE format('REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON schema_migrations FROM %I', grantee);
  END LOOP;
END $$;
