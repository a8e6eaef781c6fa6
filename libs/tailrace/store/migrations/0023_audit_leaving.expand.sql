-- The same promise, kept for all records that leave together by one look instead of one for each.
DROP TRIGGER audit_waiting_leaves ON audit_waiting;
CREATE OR REPLACE FUNCTION keep_audit_waiting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM gone WHERE NOT EXISTS (SELECT FROM audit_records WHERE waited_as = gone.id)) THEN
    RAISE EXCEPTION 'audit records are never dropped' USING ERRCODE = 'insufficient_privilege';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER audit_waiting_leaves AFTER DELETE ON audit_waiting REFERENCING OLD TABLE AS gone
  FOR EACH STATEMENT EXECUTE FUNCTION keep_audit_waiting();
