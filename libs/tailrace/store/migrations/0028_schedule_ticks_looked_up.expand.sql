-- As 0026, in a transaction of its own: no two tables are locked at once.
ALTER POLICY in_sight ON schedule_ticks
  USING ((SELECT current_setting('app.workspace_id', true)) = '*'
    OR EXISTS (SELECT FROM syncs WHERE id = sync_id OFFSET 0));
