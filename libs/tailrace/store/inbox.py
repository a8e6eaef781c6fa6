"""The inbox: which events were taken in, so that a repeated one has no effect."""

from tailrace.store.database import Connection, Database, touched

KEPT_DAYS = 7
"""How long an event is remembered; a repeat that comes later counts as new."""

_TAKE_IN = "INSERT INTO inbox (source, event_id) VALUES ($1, $2) ON CONFLICT DO NOTHING"
_PRUNE = """
DELETE FROM inbox WHERE (source, event_id) IN (
  SELECT source, event_id FROM inbox
  WHERE received_at < clock_timestamp() - make_interval(days => $1) LIMIT $2)
"""
_PRUNED_AT_ONCE = 5000


async def take_in(connection: Connection, source: str, event_id: str) -> bool:
    """Remember an event in the caller's transaction; False if it was taken in before.

    A repeat at the same moment waits for the first one's transaction, and is new if that one rolls back.
    """
    return touched(await connection.execute(_TAKE_IN, source, event_id)) == 1


async def prune(database: Database) -> int:
    """Forget events older than `KEPT_DAYS`, a bounded number a call; gives how many."""
    return await database.execute(_PRUNE, KEPT_DAYS, _PRUNED_AT_ONCE)
