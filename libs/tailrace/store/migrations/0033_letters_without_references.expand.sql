-- What 0031 and 0032 see to. A foreign key goes with a lock on both of its tables, and who holds one and waits for the
-- other could wait for ever: so this gives way, sooner than PostgreSQL would break off somebody else, and tries again.
SET LOCAL lock_timeout = '300ms';
DO $$
BEGIN
  FOR attempt IN 1..50 LOOP
    BEGIN
      LOCK TABLE dead_letters, runs, syncs IN ACCESS EXCLUSIVE MODE;
      ALTER TABLE dead_letters
        DROP CONSTRAINT IF EXISTS dead_letters_run_id_fkey, DROP CONSTRAINT IF EXISTS dead_letters_sync_id_fkey;
      RETURN;
    EXCEPTION WHEN lock_not_available THEN
      IF attempt = 50 THEN
        RAISE;
      END IF;
      PERFORM pg_sleep(0.1);
    END;
  END LOOP;
END $$;
