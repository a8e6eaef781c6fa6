-- Changes that lie above a page's own entries, in the same row, until it is written anew. Then its algorithm is negative:
-- what reads the body alone would be wrong, and fails. To put them there leaves the body as it is, out of line.
ALTER TABLE snapshot_pages ADD COLUMN above bytea;
ALTER TABLE snapshot_pages ALTER COLUMN above SET STORAGE EXTERNAL;
