"""Syncs: what is to be kept in step, when, and every version of it that a run may have pinned."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from tailrace.core.due import next_due
from tailrace.core.errors import NotFound
from tailrace.core.ids import SyncId, WorkspaceId, new_sync_id
from tailrace.core.syncs import SCHEDULE, AnySchedule, SyncDefinition
from tailrace.store.database import Connection, Database, Record
from tailrace.store.revisions import OnlyIf, require_revision

_NOW = "SELECT clock_timestamp()"
_CREATE = """
INSERT INTO syncs (id, workspace_id, name, destination_id, enabled, definition, schedule, next_run_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING *
"""
_PIN = "INSERT INTO sync_versions (sync_id, version, definition) VALUES ($1, $2, $3)"
_GET = "SELECT * FROM syncs WHERE workspace_id = $1 AND id = $2 AND deleted_at IS NULL"
_LOCK = _GET + " FOR UPDATE"
_LIST = """
SELECT * FROM syncs
WHERE workspace_id = $1 AND deleted_at IS NULL AND ($2::text IS NULL OR destination_id = $2)
  AND ($3::boolean IS NULL OR enabled = $3) AND ($4::timestamptz IS NULL OR (created_at, id) > ($4, $5))
ORDER BY created_at, id LIMIT $6
"""
_UPDATE = """
UPDATE syncs SET name = $3, destination_id = $4, version = $5, enabled = $6, definition = $7, schedule = $8,
  next_run_at = $9, updated_at = clock_timestamp()
WHERE workspace_id = $1 AND id = $2 RETURNING *
"""
_LOCK_TIME = "SELECT updated_at FROM syncs WHERE workspace_id = $1 AND id = $2 AND deleted_at IS NULL FOR UPDATE"
_DELETE = """
UPDATE syncs SET deleted_at = clock_timestamp(), next_run_at = NULL
WHERE workspace_id = $1 AND id = $2 AND deleted_at IS NULL RETURNING deleted_at
"""
_KNOWN = "SELECT true FROM syncs WHERE workspace_id = $1 AND id = $2"
_WORKSPACE = "SELECT workspace_id FROM syncs WHERE id = $1 AND deleted_at IS NULL"
_DEFINITION = "SELECT definition FROM sync_versions WHERE sync_id = $1 AND version = $2"
# FOR SHARE holds off a delete of either connection until the sync that needs it is there.
_CONNECTIONS = """
SELECT id, kind FROM connections
WHERE workspace_id = $1 AND id = ANY ($2::text[]) AND deleted_at IS NULL FOR SHARE
"""


@dataclass(frozen=True, slots=True)
class NewSync:
    """What a sync is made from."""

    workspace_id: WorkspaceId
    name: str
    definition: SyncDefinition
    schedule: AnySchedule
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class SyncChange:
    """What is to change; None leaves a thing as it is."""

    name: str | None = None
    definition: SyncDefinition | None = None
    schedule: AnySchedule | None = None
    enabled: bool | None = None


@dataclass(frozen=True, slots=True)
class SyncFilter:
    """Which syncs to list; None does not restrict."""

    destination_id: str | None = None
    enabled: bool | None = None


@dataclass(frozen=True, slots=True)
class Sync:
    """A sync as it stands. `next_run_at` is None for a manual, paused or never again firing one."""

    id: SyncId
    workspace_id: WorkspaceId
    name: str
    version: int
    enabled: bool
    definition: SyncDefinition
    schedule: AnySchedule
    next_run_at: datetime | None
    created_at: datetime
    updated_at: datetime


class Syncs:
    """The syncs of all workspaces."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, new: NewSync) -> Sync:
        """A new sync at version 1, its first tick set.

        :raises NotFound: the workspace has no such source or destination.
        """
        sync_id = new_sync_id()
        definition = new.definition.model_dump(mode="json")
        async with self._database.transaction() as connection:
            await _require_connections(connection, new.workspace_id, new.definition)
            due = await _next_tick(connection, new.schedule, enabled=new.enabled)
            identity = (sync_id, new.workspace_id, new.name, new.definition.destination_id)
            schedule = new.schedule.model_dump(mode="json")
            row = await connection.fetchrow(_CREATE, *identity, new.enabled, definition, schedule, due)
            await connection.execute(_PIN, sync_id, 1, definition)
        return sync_of(row)

    async def get(self, workspace_id: WorkspaceId, sync_id: str) -> Sync:
        """The sync of that id.

        :raises NotFound: the workspace has none.
        """
        return sync_of(await self._database.fetchrow(_GET, workspace_id, sync_id))

    async def list(
        self,
        workspace_id: WorkspaceId,
        which: SyncFilter | None = None,
        *,
        after: tuple[datetime, str] | None = None,
        limit: int = 1000,
    ) -> Sequence[Sync]:
        """Oldest first, those behind `after` (created_at, id)."""
        wanted = which or SyncFilter()
        moment, last_id = after or (None, None)
        rows = await self._database.fetch(
            _LIST, workspace_id, wanted.destination_id, wanted.enabled, moment, last_id, limit
        )
        return [sync_of(row) for row in rows]

    async def update(
        self, workspace_id: WorkspaceId, sync_id: str, change: SyncChange, *, only_if: OnlyIf = None
    ) -> Sync:
        """Change what is given. A new definition is a new version; runs under way keep theirs.

        :raises NotFound: the workspace has none of that id, or no such source or destination.
        :raises Stale: it is at none of the revisions.
        """
        async with self._database.transaction() as connection:
            old = sync_of(await connection.fetchrow(_LOCK, workspace_id, sync_id))
            require_revision(old.updated_at, only_if)
            new = _changed(old, change)
            if new.version != old.version:
                await _require_connections(connection, workspace_id, new.definition)
                await connection.execute(_PIN, sync_id, new.version, new.definition.model_dump(mode="json"))
            if (new.schedule, new.enabled) != (old.schedule, old.enabled):
                new = replace(new, next_run_at=await _next_tick(connection, new.schedule, enabled=new.enabled))
            return await _save(connection, new)

    async def delete(
        self, connection: Connection, workspace_id: WorkspaceId, sync_id: str, *, only_if: OnlyIf = None
    ) -> datetime:
        """Hide the sync for good; gives the moment. Runs and dead letters stay.

        Waits for a start that is under way. The caller cancels the sync's run in the same transaction.

        :raises NotFound: the workspace has none of that id.
        :raises Stale: it is at none of the revisions.
        """
        updated_at: datetime | None = await connection.fetchval(_LOCK_TIME, workspace_id, sync_id)
        if updated_at is None:
            raise _not_found()
        require_revision(updated_at, only_if)
        moment: datetime = await connection.fetchval(_DELETE, workspace_id, sync_id)
        return moment

    async def require_known(self, workspace_id: WorkspaceId, sync_id: str) -> None:
        """Return if the workspace has the sync, or had it: its runs and dead letters can still be read.

        :raises NotFound: it never had.
        """
        if not await self._database.fetchval(_KNOWN, workspace_id, sync_id):
            raise _not_found()

    async def workspace_of(self, connection: Connection, sync_id: str) -> WorkspaceId:
        """The workspace that a sync belongs to, for requests that name the sync alone.

        :raises NotFound: there is no such sync.
        """
        workspace_id: str | None = await connection.fetchval(_WORKSPACE, sync_id)
        if workspace_id is None:
            raise _not_found()
        return WorkspaceId(workspace_id)

    async def definition(self, sync_id: SyncId, version: int) -> SyncDefinition:
        """The definition that a run has pinned; deleted syncs keep theirs.

        :raises NotFound: the sync never had that version.
        """
        definition = await self._database.fetchval(_DEFINITION, sync_id, version)
        if definition is None:
            raise NotFound(f"the sync has no version {version}", code="SYNC_VERSION_NOT_FOUND")
        return SyncDefinition.model_validate(definition)


def sync_of(row: Record | None) -> Sync:
    """The sync that a row of the table holds.

    :raises NotFound: there is no row.
    """
    if row is None:
        raise _not_found()
    return Sync(
        SyncId(row["id"]),
        WorkspaceId(row["workspace_id"]),
        row["name"],
        row["version"],
        row["enabled"],
        SyncDefinition.model_validate(row["definition"]),
        SCHEDULE.validate_python(row["schedule"]),
        row["next_run_at"],
        row["created_at"],
        row["updated_at"],
    )


def _changed(old: Sync, change: SyncChange) -> Sync:
    definition = change.definition or old.definition
    return replace(
        old,
        name=old.name if change.name is None else change.name,
        version=old.version + (definition != old.definition),
        enabled=old.enabled if change.enabled is None else change.enabled,
        definition=definition,
        schedule=change.schedule or old.schedule,
    )


async def _save(connection: Connection, sync: Sync) -> Sync:
    row = await connection.fetchrow(
        _UPDATE,
        sync.workspace_id,
        sync.id,
        sync.name,
        sync.definition.destination_id,
        sync.version,
        sync.enabled,
        sync.definition.model_dump(mode="json"),
        sync.schedule.model_dump(mode="json"),
        sync.next_run_at,
    )
    return sync_of(row)


async def _require_connections(connection: Connection, workspace_id: WorkspaceId, definition: SyncDefinition) -> None:
    wanted = {"source": definition.source_id, "destination": definition.destination_id}
    rows = await connection.fetch(_CONNECTIONS, workspace_id, list(wanted.values()))
    found = {row["kind"]: row["id"] for row in rows}
    for kind, connection_id in wanted.items():
        if found.get(kind) != connection_id:
            raise NotFound(f"no such {kind} in this workspace", code=f"{kind.upper()}_NOT_FOUND")


async def _next_tick(connection: Connection, schedule: AnySchedule, *, enabled: bool) -> datetime | None:
    now: datetime = await connection.fetchval(_NOW)
    return next_due(schedule, now) if enabled else None


def _not_found() -> NotFound:
    return NotFound("no such sync in this workspace", code="SYNC_NOT_FOUND")
