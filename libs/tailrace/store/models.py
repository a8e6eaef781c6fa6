"""Models: named queries that several syncs may share; whoever changes one changes what all of them read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from tailrace.core.errors import Conflict, NotFound
from tailrace.core.ids import ModelId, WorkspaceId, new_model_id
from tailrace.store.database import Database, Record

_CREATE = """
INSERT INTO models (id, workspace_id, source_id, name, kind, config, query, enabled, external_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING *
"""
_GET = "SELECT * FROM models WHERE workspace_id = $1 AND id = $2 AND deleted_at IS NULL"
_HOLD = _GET + " FOR SHARE"
_LIST = """
SELECT * FROM models
WHERE workspace_id = $1 AND deleted_at IS NULL AND ($2::text IS NULL OR kind = $2)
  AND ($3::boolean IS NULL OR (external_id IS NOT NULL) = $3)
ORDER BY created_at, id LIMIT $4
"""
_UPDATE = """
UPDATE models SET source_id = $3, name = $4, config = $5, query = $6, enabled = $7, updated_at = clock_timestamp()
WHERE workspace_id = $1 AND id = $2 AND deleted_at IS NULL RETURNING *
"""
_SET_EXTERNAL_ID = """
UPDATE models SET external_id = $3, updated_at = clock_timestamp()
WHERE workspace_id = $1 AND id = $2 AND deleted_at IS NULL RETURNING *
"""
_LOCK = "SELECT true FROM models WHERE workspace_id = $1 AND id = $2 AND deleted_at IS NULL FOR UPDATE"
_USED_BY = """
SELECT syncs.id FROM sync_links AS links JOIN syncs ON syncs.id = links.sync_id AND syncs.deleted_at IS NULL
WHERE links.model_id = $1 ORDER BY syncs.created_at, syncs.id LIMIT 1
"""
_DELETE = "UPDATE models SET deleted_at = clock_timestamp() WHERE id = $1"


class ModelKind(StrEnum):
    """What a model reads."""

    MODEL = "model"  # an SQL query
    TABLE = "table"


@dataclass(frozen=True, slots=True)
class ModelDraft:
    """All that a user decides about a model; `query` is what `config` comes to in the warehouse's SQL."""

    source_id: str
    name: str
    config: Mapping[str, Any]
    query: str
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class ModelFilter:
    """Which models to list; None does not restrict."""

    kind: ModelKind | None = None
    has_external_id: bool | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """A model as it stands; `external_id` is what its owner outside calls it."""

    id: ModelId
    workspace_id: WorkspaceId
    source_id: str
    name: str
    kind: ModelKind
    config: dict[str, Any]
    query: str
    enabled: bool
    external_id: str | None
    created_at: datetime
    updated_at: datetime


class Models:
    """The models of all workspaces."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self, workspace_id: WorkspaceId, kind: ModelKind, draft: ModelDraft, *, external_id: str | None
    ) -> Model:
        """A new model."""
        said = (draft.source_id, draft.name, kind, dict(draft.config), draft.query, draft.enabled, external_id)
        return _model(await self._database.fetchrow(_CREATE, new_model_id(), workspace_id, *said))

    async def get(self, workspace_id: WorkspaceId, model_id: str) -> Model:
        """The model of that id.

        :raises NotFound: the workspace has none.
        """
        return _model(await self._database.fetchrow(_GET, workspace_id, model_id))

    async def hold(self, workspace_id: WorkspaceId, model_id: str) -> Model:
        """The model of that id, which stays as it is until the caller's transaction ends.

        :raises NotFound: the workspace has none.
        """
        return _model(await self._database.fetchrow(_HOLD, workspace_id, model_id))

    async def list(self, workspace_id: WorkspaceId, which: ModelFilter, *, limit: int) -> Sequence[Model]:
        """Oldest first."""
        rows = await self._database.fetch(_LIST, workspace_id, which.kind, which.has_external_id, limit)
        return [_model(row) for row in rows]

    async def update(self, workspace_id: WorkspaceId, model_id: str, draft: ModelDraft) -> Model:
        """Take over everything in the draft; the caller changes the syncs of the model in the same transaction.

        :raises NotFound: the workspace has none of that id.
        """
        said = (draft.source_id, draft.name, dict(draft.config), draft.query, draft.enabled)
        return _model(await self._database.fetchrow(_UPDATE, workspace_id, model_id, *said))

    async def set_external_id(self, workspace_id: WorkspaceId, model_id: str, external_id: str | None) -> Model:
        """Say what the owner outside calls it.

        :raises NotFound: the workspace has none of that id.
        """
        return _model(await self._database.fetchrow(_SET_EXTERNAL_ID, workspace_id, model_id, external_id))

    async def delete(self, workspace_id: WorkspaceId, model_id: str) -> None:
        """Forget the model.

        :raises NotFound: the workspace has none of that id.
        :raises Conflict: `IN_USE`, naming a sync that reads it.
        """
        async with self._database.transaction() as connection:
            if not await connection.fetchval(_LOCK, workspace_id, model_id):
                raise _not_found()
            used_by = await connection.fetchval(_USED_BY, model_id)
            if used_by:
                told = f"sync {used_by} reads this model; delete the sync first"
                raise Conflict(told, code="IN_USE", existing_id=used_by)
            await connection.execute(_DELETE, model_id)


def _not_found() -> NotFound:
    return NotFound("no such model in this workspace", code="MODEL_NOT_FOUND")


def _model(row: Record | None) -> Model:
    if row is None:
        raise _not_found()
    return Model(
        ModelId(row["id"]),
        WorkspaceId(row["workspace_id"]),
        row["source_id"],
        row["name"],
        ModelKind(row["kind"]),
        row["config"],
        row["query"],
        row["enabled"],
        row["external_id"],
        row["created_at"],
        row["updated_at"],
    )
