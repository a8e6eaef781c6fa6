-- Which key of the ring a token's digest is made with; none where that is not known yet.
ALTER TABLE tokens ADD COLUMN key_id bytea;
