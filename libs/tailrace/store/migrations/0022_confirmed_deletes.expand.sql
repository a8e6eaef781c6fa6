-- A run that may delete what the guard kept an earlier one from: which one that was, once, and how many rows.
ALTER TABLE runs
  ADD COLUMN confirms_run text UNIQUE REFERENCES runs,
  ADD COLUMN deletes_confirmed int CHECK (deletes_confirmed > 0);
