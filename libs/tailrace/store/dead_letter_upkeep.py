"""What keeps dead letters in order behind the users' backs: noticed, counted, and forgotten in time."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tailrace.core.ids import DeadLetterId, SyncId, WorkspaceId
from tailrace.store.database import Database, Record

KEPT_DAYS = 90
"""How long a resolved letter is kept, with its content."""

AT_ONCE = 2000
"""How many letters one call touches at most."""

_NOTICE = """
UPDATE dead_letters SET noticed_at = clock_timestamp() WHERE id IN (
  SELECT id FROM dead_letters WHERE id = ANY ($1::text[]) AND noticed_at IS NULL ORDER BY id FOR UPDATE SKIP LOCKED)
RETURNING workspace_id, sync_id, error_code
"""
_NOTICE_OLDEST = """
UPDATE dead_letters SET noticed_at = clock_timestamp() WHERE id = ANY (ARRAY(
  SELECT id FROM dead_letters WHERE noticed_at IS NULL ORDER BY first_seen_at LIMIT $1 FOR UPDATE SKIP LOCKED))
RETURNING workspace_id, sync_id, error_code
"""
_KNOWN = "SELECT id FROM dead_letters WHERE id = ANY ($1::text[])"
_OPEN = """
SELECT error_code, count(*) AS letters FROM dead_letters WHERE state IN ('open', 'replaying') GROUP BY error_code
"""
_CLOSE_DELETED = """
UPDATE dead_letters SET state = 'resolved', resolution = 'sync_deleted', resolved_by = 'tailrace',
  resolved_at = clock_timestamp()
WHERE id = ANY (ARRAY(
  SELECT letters.id FROM syncs JOIN dead_letters AS letters ON letters.sync_id = syncs.id
  WHERE syncs.deleted_at IS NOT NULL AND letters.state = 'open' LIMIT $1 FOR UPDATE OF letters SKIP LOCKED))
"""
_PRUNE = """
DELETE FROM dead_letters WHERE id = ANY (ARRAY(
  SELECT id FROM dead_letters WHERE state = 'resolved' AND resolved_at < clock_timestamp() - make_interval(days => $1)
  ORDER BY resolved_at LIMIT $2 FOR UPDATE SKIP LOCKED))
"""


@dataclass(frozen=True, slots=True)
class Noticed:
    """New letters of a sync that have one code."""

    workspace_id: WorkspaceId
    sync_id: SyncId
    error_code: str
    letters: int


class DeadLetterUpkeep:
    """The work of the DLQ manager on all workspaces; several managers may do it at once, each letter goes to one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def notice(self, ids: Sequence[DeadLetterId]) -> list[Noticed]:
        """Mark letters as seen; tells of those that nobody had seen, so a repeated event tells of none."""
        return _summed(await self._database.fetch(_NOTICE, list(ids)))

    async def notice_oldest(self) -> list[Noticed]:
        """The same for letters that no event told of, a bounded number a call; empty when all are seen."""
        return _summed(await self._database.fetch(_NOTICE_OLDEST, AT_ONCE))

    async def unknown(self, ids: Sequence[DeadLetterId]) -> set[DeadLetterId]:
        """Which of the letters do not exist, or no longer."""
        rows = await self._database.fetch(_KNOWN, list(ids))
        return set(ids) - {DeadLetterId(row["id"]) for row in rows}

    async def open_by_error_code(self) -> Counter[str]:
        """How many letters are not resolved, over all workspaces."""
        rows = await self._database.fetch(_OPEN)
        return Counter({row["error_code"]: row["letters"] for row in rows})

    async def close_deleted(self) -> int:
        """Resolve letters of syncs that were deleted, a bounded number a call; gives how many.

        Nobody will deliver their rows: they would count as open, and be kept, for ever.
        """
        return await self._database.execute(_CLOSE_DELETED, AT_ONCE)

    async def prune(self) -> int:
        """Delete letters that were resolved longer ago than `KEPT_DAYS`, a bounded number a call; gives how many."""
        return await self._database.execute(_PRUNE, KEPT_DAYS, AT_ONCE)


def _summed(rows: Sequence[Record]) -> list[Noticed]:
    counted = Counter((row["workspace_id"], row["sync_id"], row["error_code"]) for row in rows)
    return [Noticed(*names, letters) for names, letters in counted.items()]
