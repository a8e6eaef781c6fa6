"""Every definition that a sync has had."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tailrace.core.errors import NotFound
from tailrace.core.ids import SyncId
from tailrace.core.syncs import SyncDefinition
from tailrace.store.database import Database, Record

_LIST = """
SELECT version, definition, created_at FROM sync_versions
WHERE sync_id = $1 AND ($2::int IS NULL OR version < $2) ORDER BY version DESC LIMIT $3
"""
_GET = "SELECT version, definition, created_at FROM sync_versions WHERE sync_id = $1 AND version = $2"


@dataclass(frozen=True, slots=True)
class SyncVersion:
    """A definition, and when the sync got it."""

    version: int
    definition: SyncDefinition
    created_at: datetime


class SyncVersions:
    """The versions of all syncs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, sync_id: SyncId, *, before: int | None = None, limit: int = 50) -> Sequence[SyncVersion]:
        """The newest first, those before a version."""
        return [_version(row) for row in await self._database.fetch(_LIST, sync_id, before, limit)]

    async def get(self, sync_id: SyncId, version: int) -> SyncVersion:
        """One of them.

        :raises NotFound: the sync never had that version.
        """
        row = await self._database.fetchrow(_GET, sync_id, version)
        if row is None:
            raise NotFound(f"the sync has no version {version}", code="SYNC_VERSION_NOT_FOUND")
        return _version(row)


def _version(row: Record) -> SyncVersion:
    return SyncVersion(row["version"], SyncDefinition.model_validate(row["definition"]), row["created_at"])
