-- What a row is a part of is looked up by its key. Without OFFSET the planner may go through a whole workspace instead,
-- once for each statement, and a plan that was made while there was little is kept while there comes to be much.
ALTER POLICY in_sight ON sync_versions
  USING ((SELECT current_setting('app.workspace_id', true)) = '*'
    OR EXISTS (SELECT FROM syncs WHERE id = sync_id OFFSET 0));
