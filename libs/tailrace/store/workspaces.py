"""Workspaces: the tenants that everything belongs to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tailrace.core.errors import NotFound
from tailrace.core.ids import WorkspaceId, new_workspace_id
from tailrace.store.database import Database, Record
from tailrace.store.revisions import OnlyIf, require_revision

_CREATE = "INSERT INTO workspaces (id, name) VALUES ($1, $2) RETURNING id, name, created_at, updated_at"
_GET = "SELECT id, name, created_at, updated_at FROM workspaces WHERE id = $1"
_LOCK = _GET + " FOR UPDATE"
_LIST = """
SELECT id, name, created_at, updated_at FROM workspaces
WHERE $1::timestamptz IS NULL OR (created_at, id) > ($1, $2) ORDER BY created_at, id LIMIT $3
"""
_RENAME = """
UPDATE workspaces SET name = $2, updated_at = clock_timestamp() WHERE id = $1
RETURNING id, name, created_at, updated_at
"""


@dataclass(frozen=True, slots=True)
class Workspace:
    """A tenant."""

    id: WorkspaceId
    name: str
    created_at: datetime
    updated_at: datetime


class Workspaces:
    """The workspaces of this installation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, name: str) -> Workspace:
        """A new, empty workspace."""
        row = await self._database.fetchrow(_CREATE, new_workspace_id(), name)
        return _workspace(row)

    async def get(self, workspace_id: WorkspaceId) -> Workspace:
        """The workspace of that id.

        :raises NotFound: there is none.
        """
        return _workspace(await self._database.fetchrow(_GET, workspace_id))

    async def list(self, *, after: tuple[datetime, str] | None = None, limit: int = 1000) -> Sequence[Workspace]:
        """The oldest workspaces first, those behind `after` (created_at, id)."""
        return [_workspace(row) for row in await self._database.fetch(_LIST, *(after or (None, None)), limit)]

    async def rename(self, workspace_id: WorkspaceId, name: str, *, only_if: OnlyIf = None) -> Workspace:
        """Give it another name for people.

        :raises NotFound: there is none.
        :raises Stale: it is at none of the revisions.
        """
        async with self._database.transaction() as connection:
            old = _workspace(await connection.fetchrow(_LOCK, workspace_id))
            require_revision(old.updated_at, only_if)
            return _workspace(await connection.fetchrow(_RENAME, workspace_id, name))


def _workspace(row: Record | None) -> Workspace:
    if row is None:
        raise NotFound("no such workspace", code="WORKSPACE_NOT_FOUND")
    return Workspace(WorkspaceId(row["id"]), row["name"], row["created_at"], row["updated_at"])
