-- An open letter of a row is found by what keeps it the only one (dead_letters_one_open); this is for all the others.
CREATE INDEX dead_letters_of_row_resolved ON dead_letters (sync_id, dedupe_key) WHERE state = 'resolved';
DROP INDEX dead_letters_of_row;
