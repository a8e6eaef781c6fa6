-- Of a page's entries: those delivered (NULL: not counted, take all), and those of them that left the query.
ALTER TABLE snapshot_pages ADD COLUMN delivered int, ADD COLUMN gone int NOT NULL DEFAULT 0;
