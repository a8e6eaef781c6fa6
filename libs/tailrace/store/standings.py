"""What is known of a single row: which version of it was delivered, and how far the runs have got."""

from dataclasses import dataclass

from tailrace.core.ids import SyncId
from tailrace.core.rows import RowKey
from tailrace.core.runs import RunKind, RunStatus
from tailrace.core.settlements import Phase
from tailrace.core.snapshots import Entry, unpack
from tailrace.store.checkpoints import position_of
from tailrace.store.database import Database
from tailrace.store.runs import Run
from tailrace.store.snapshots import SETTLED

# What a run has settled lies above the base, and is newer.
_PAGES_OF_KEY = """
SELECT level, body FROM snapshot_pages WHERE sync_id = $1 AND first_key <= $2 AND last_key >= $2 ORDER BY level DESC
"""
_CHECKPOINTS = "SELECT checkpoint FROM run_shards WHERE run_id = $1"


@dataclass(frozen=True, slots=True)
class Standing:
    """The entry of a key; `is_fresh` where a run has settled it since the snapshot was merged last."""

    entry: Entry
    is_fresh: bool


class Standings:
    """The rows of all syncs, one at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_row(self, sync_id: SyncId, key: RowKey) -> Standing | None:
        """What is known of a key; None where nothing is."""
        for page in await self._database.fetch(_PAGES_OF_KEY, sync_id, list(key)):
            for entry in unpack(page["body"]):
                if entry.key == key:
                    return None if entry.is_tombstone else Standing(entry, page["level"] == SETTLED)
        return None

    async def passed(self, run: Run, key: RowKey) -> bool | None:
        """Whether the run has settled all rows up to the key; None for a replay, which reads only some."""
        if run.kind is RunKind.REPLAY:
            return None
        if run.status is RunStatus.SUCCEEDED:
            return True
        rows = await self._database.fetch(_CHECKPOINTS, run.id)
        positions = [position_of(row["checkpoint"]) for row in rows]
        return any(
            position.phase is not Phase.ROWS
            or position.null_rows > 0
            or (position.after is not None and key <= position.after)
            for position in positions
        )
