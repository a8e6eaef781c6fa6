-- How far a sync has settled all rows of a query that it reads by a cursor: a text that sorts as the cursor's values do.
ALTER TABLE snapshot_targets ADD COLUMN watermark text COLLATE "C";
