-- A letter is of a run, and a run is of a sync: the reference of runs holds the sync already, and to look it up for each
-- letter as well held nothing more.
ALTER TABLE dead_letters DROP CONSTRAINT dead_letters_sync_id_fkey;
