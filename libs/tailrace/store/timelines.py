"""What happened to a run, in order: queued, claimed, taken over, handed back, asked to end, ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tailrace.core.ids import RunId
from tailrace.store.database import Database

_SINCE = """
SELECT id, at, what, shard, owner, checkpoint_seq, not_before FROM run_moments
WHERE run_id = $1 AND id > $2 ORDER BY id LIMIT 1000
"""
_SHARDS = """
SELECT shard, state, lease_owner, lease_expires_at, not_before, checkpoint_seq, attempts_without_progress
FROM run_shards WHERE run_id = $1 ORDER BY shard
"""


@dataclass(frozen=True, slots=True)
class Moment:
    """A shard of a run went to an owner, or back into the queue until `not_before`."""

    id: int
    at: datetime
    what: str
    shard: int
    owner: str | None
    checkpoint_seq: int
    not_before: datetime | None


@dataclass(frozen=True, slots=True)
class ShardState:
    """How a shard stands: who has it until when, how far it is, how often it was claimed since it got further."""

    shard: int
    state: str
    lease_owner: str | None
    lease_expires_at: datetime | None
    not_before: datetime | None
    checkpoint_seq: int
    attempts_without_progress: int


class Timelines:
    """The histories of all runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def since(self, run_id: RunId, moment_id: int = 0) -> Sequence[Moment]:
        """What came after a moment, oldest first: 1,000 at most."""
        return [Moment(**dict(row)) for row in await self._database.fetch(_SINCE, run_id, moment_id)]

    async def shards(self, run_id: RunId) -> Sequence[ShardState]:
        """How the shards of a run stand."""
        return [ShardState(**dict(row)) for row in await self._database.fetch(_SHARDS, run_id)]
