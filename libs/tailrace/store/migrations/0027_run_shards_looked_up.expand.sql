-- As 0026, in a transaction of its own: no two tables are locked at once.
ALTER POLICY in_sight ON run_shards
  USING ((SELECT current_setting('app.workspace_id', true)) = '*'
    OR EXISTS (SELECT FROM runs WHERE id = run_id OFFSET 0));
