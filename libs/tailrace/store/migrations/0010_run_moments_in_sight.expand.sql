-- The moments of a run are seen by whoever sees the run.
ALTER TABLE run_moments ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY in_sight ON run_moments
  USING ((SELECT current_setting('app.workspace_id', true)) = '*' OR EXISTS (SELECT FROM runs WHERE id = run_id));
