-- A letter is of a run, and a run is of a sync: the reference of runs holds the sync already. To look it up for each letter
-- as well took a seventh of what PostgreSQL needs to write one.
ALTER TABLE dead_letters DROP CONSTRAINT dead_letters_sync_id_fkey;
