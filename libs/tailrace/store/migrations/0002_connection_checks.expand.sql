-- How the last test of a connection went; a code means that it failed.
ALTER TABLE connections ADD COLUMN checked_at timestamptz, ADD COLUMN check_code text;
