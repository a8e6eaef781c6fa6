-- The same promise: each record is looked up by its key, however few there were when the look was planned. The planner
-- would go through the whole chain for each hundred that leave, or for each of them.
CREATE OR REPLACE FUNCTION keep_audit_waiting() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
  IF EXISTS (SELECT FROM gone WHERE NOT EXISTS (SELECT FROM audit_records WHERE waited_as = gone.id OFFSET 0)) THEN
    RAISE EXCEPTION 'audit records are never dropped' USING ERRCODE = 'insufficient_privilege';
  END IF;
  RETURN NULL;
END $$;
