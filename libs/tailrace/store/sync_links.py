"""What links a sync to the world outside: its model, its owner's name for it, what one contract alone says of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tailrace.core.ids import SyncId, WorkspaceId
from tailrace.store.database import Database, Record
from tailrace.store.syncs import Sync, sync_of

_COLUMNS = "links.model_id, links.external_id, links.paused_with_model, links.said"
_SELECT = f"""
SELECT syncs.*, {_COLUMNS} FROM syncs LEFT JOIN sync_links AS links ON links.sync_id = syncs.id
"""  # noqa: S608 - a constant
_GET = _SELECT + " WHERE syncs.workspace_id = $1 AND syncs.id = $2 AND syncs.deleted_at IS NULL"
_FILTER = """
 WHERE syncs.workspace_id = $1 AND syncs.deleted_at IS NULL
   AND ($2::text IS NULL OR coalesce(links.model_id, syncs.definition ->> 'source_id') = $2)
   AND ($3::text IS NULL OR syncs.destination_id = $3)
   AND ($4::boolean IS NULL OR (links.external_id IS NOT NULL) = $4)
"""
_LIST = _SELECT + _FILTER + " ORDER BY syncs.created_at, syncs.id OFFSET $5 LIMIT $6"
_COUNT = (
    "SELECT count(*) FROM syncs LEFT JOIN sync_links AS links ON links.sync_id = syncs.id" + _FILTER  # noqa: S608 - constants
)
_OF_MODEL = _SELECT + " WHERE links.model_id = $1 AND syncs.deleted_at IS NULL ORDER BY syncs.id"
_SAVE = """
INSERT INTO sync_links (sync_id, workspace_id, model_id, external_id, paused_with_model, said)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (sync_id) DO UPDATE SET model_id = $3, external_id = $4, paused_with_model = $5, said = $6
"""


@dataclass(frozen=True, slots=True)
class SyncLink:
    """The link of a sync; all of it is empty where nobody made one.

    `paused_with_model`: the sync stands still because its model does, and goes on with it.
    """

    model_id: str | None = None
    external_id: str | None = None
    paused_with_model: bool = False
    said: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LinkFilter:
    """Which syncs to list; None does not restrict. `source_id` is a model, or the source of a sync without one."""

    source_id: str | None = None
    destination_id: str | None = None
    has_external_id: bool | None = None


LinkedSync = tuple[Sync, SyncLink]


class SyncLinks:
    """The links of all workspaces' syncs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, workspace_id: WorkspaceId, sync_id: str) -> LinkedSync:
        """The sync of that id, with its link.

        :raises NotFound: the workspace has none.
        """
        row = await self._database.fetchrow(_GET, workspace_id, sync_id)
        return sync_of(row), _link(row)

    async def list(
        self, workspace_id: WorkspaceId, which: LinkFilter, *, offset: int, limit: int
    ) -> Sequence[LinkedSync]:
        """Oldest first."""
        rows = await self._database.fetch(_LIST, workspace_id, *_arguments(which), offset, limit)
        return [(sync_of(row), _link(row)) for row in rows]

    async def count(self, workspace_id: WorkspaceId, which: LinkFilter) -> int:
        """How many there are."""
        return int(await self._database.fetchval(_COUNT, workspace_id, *_arguments(which)))

    async def of_model(self, model_id: str) -> Sequence[LinkedSync]:
        """The syncs that read a model, in the order of ids."""
        return [(sync_of(row), _link(row)) for row in await self._database.fetch(_OF_MODEL, model_id)]

    async def save(self, workspace_id: WorkspaceId, sync_id: SyncId, link: SyncLink) -> None:
        """Make the link of a sync, or put it in the place of the one that it has."""
        said = (link.model_id, link.external_id, link.paused_with_model, dict(link.said))
        await self._database.execute(_SAVE, sync_id, workspace_id, *said)


def _arguments(which: LinkFilter) -> tuple[object, ...]:
    return which.source_id, which.destination_id, which.has_external_id


def _link(row: Record | None) -> SyncLink:
    if row is None or row["said"] is None:
        return SyncLink()
    return SyncLink(row["model_id"], row["external_id"], row["paused_with_model"], row["said"])
