"""The words of Tailrace: rows, batches, runs, syncs, outcomes, errors, ids and the clock. No I/O."""
