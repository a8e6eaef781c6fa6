"""Workspaces: the tenants that everything belongs to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tailrace.core.errors import NotFound
from tailrace.core.ids import WorkspaceId, new_workspace_id
from tailrace.store.database import Database, Record

_CREATE = "INSERT INTO workspaces (id, name) VALUES ($1, $2) RETURNING id, name, created_at"
_GET = "SELECT id, name, created_at FROM workspaces WHERE id = $1"
_LIST = "SELECT id, name, created_at FROM workspaces ORDER BY created_at, id LIMIT $1"


@dataclass(frozen=True, slots=True)
class Workspace:
    """A tenant."""

    id: WorkspaceId
    name: str
    created_at: datetime


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

    async def list(self, *, limit: int = 1000) -> Sequence[Workspace]:
        """The oldest workspaces first."""
        return [_workspace(row) for row in await self._database.fetch(_LIST, limit)]


def _workspace(row: Record | None) -> Workspace:
    if row is None:
        raise NotFound("no such workspace", code="WORKSPACE_NOT_FOUND")
    return Workspace(WorkspaceId(row["id"]), row["name"], row["created_at"])
