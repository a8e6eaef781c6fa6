"""Sources and destinations: their settings in the open, their secrets sealed."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson

from tailrace.core.errors import Conflict, NotFound
from tailrace.core.ids import ConnectionId, WorkspaceId, new_connection_id
from tailrace.core.pointers import put
from tailrace.store.database import Connection, Database, Record
from tailrace.store.revisions import OnlyIf, require_revision
from tailrace.store.secrets import SecretBox

_NAMED_AT_MOST = 5

_CREATE = """
INSERT INTO connections
  (id, workspace_id, kind, name, connector, settings, secrets, requests_per_s, max_in_flight)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING *
"""
_GET = "SELECT * FROM connections WHERE workspace_id = $1 AND id = $2 AND deleted_at IS NULL"
_OPEN = "SELECT * FROM connections WHERE id = $1 AND deleted_at IS NULL"
_LIST = """
SELECT * FROM connections
WHERE workspace_id = $1 AND kind = $2 AND deleted_at IS NULL AND ($3::text IS NULL OR connector = $3)
  AND ($4::timestamptz IS NULL OR (created_at, id) > ($4, $5))
ORDER BY created_at, id LIMIT $6
"""
_LOCK = """
SELECT secrets, updated_at FROM connections
WHERE workspace_id = $1 AND id = $2 AND kind = $3 AND deleted_at IS NULL FOR UPDATE
"""
_UPDATE = """
UPDATE connections SET name = $2, settings = $3, secrets = $4, requests_per_s = $5, max_in_flight = $6,
  updated_at = clock_timestamp(), checked_at = NULL, check_code = NULL
WHERE id = $1 RETURNING *
"""
_HOLD = "SELECT workspace_id, secrets FROM connections WHERE id = $1 AND deleted_at IS NULL FOR UPDATE"
_RESEAL = "UPDATE connections SET secrets = $2 WHERE id = $1"
_NOTE_CHECK = "UPDATE connections SET checked_at = clock_timestamp(), check_code = $2 WHERE id = $1"
_USED_BY = """
SELECT id, name FROM syncs WHERE workspace_id = $1 AND deleted_at IS NULL
  AND (destination_id = $2 OR definition ->> 'source_id' = $2
    OR id IN (SELECT sync_id FROM snapshot_targets WHERE base_source = $2))
UNION ALL
SELECT id, name FROM models WHERE workspace_id = $1 AND source_id = $2 AND deleted_at IS NULL
LIMIT 1000
"""
_DELETE = """
UPDATE connections SET deleted_at = clock_timestamp(), secrets = ''
WHERE id = $1 AND deleted_at IS NULL RETURNING deleted_at
"""


class ConnectionKind(StrEnum):
    """Which way rows go."""

    SOURCE = "source"
    DESTINATION = "destination"


@dataclass(frozen=True, slots=True)
class ConnectionDraft:
    """All that a user decides about a connection.

    `settings` show `***` where a secret stands; `secrets` hold them by JSON Pointer into the settings.
    An update takes over the stored secrets at `kept` pointers, and replaces only a state that `only_if` names.
    """

    name: str
    settings: Mapping[str, Any]
    secrets: Mapping[str, str]
    kept: Sequence[str] = ()
    requests_per_s: float | None = None
    max_in_flight: int | None = None
    only_if: OnlyIf = None


@dataclass(frozen=True, slots=True)
class StoredConnection:
    """A source or a destination as it may be shown: `settings` hold `***` in place of each secret.

    `check_code` is None where the last test since the last change went well, or there was none.
    """

    id: ConnectionId
    workspace_id: WorkspaceId
    kind: ConnectionKind
    name: str
    connector: str
    settings: dict[str, Any]
    requests_per_s: float | None
    max_in_flight: int | None
    created_at: datetime
    updated_at: datetime
    checked_at: datetime | None
    check_code: str | None


class Connections:
    """The sources and destinations of all workspaces."""

    def __init__(self, database: Database, box: SecretBox) -> None:
        self._database = database
        self._box = box

    async def create(
        self, workspace_id: WorkspaceId, kind: ConnectionKind, connector: str, draft: ConnectionDraft
    ) -> StoredConnection:
        """A new source or destination."""
        connection_id = new_connection_id()
        sealed = self._seal(workspace_id, connection_id, draft.secrets)
        identity = (connection_id, workspace_id, kind, draft.name, connector)
        return _stored(
            await self._database.fetchrow(
                _CREATE, *identity, dict(draft.settings), sealed, draft.requests_per_s, draft.max_in_flight
            )
        )

    async def get(
        self, workspace_id: WorkspaceId, connection_id: str, *, kind: ConnectionKind | None = None
    ) -> StoredConnection:
        """The connection of that id, without its secrets.

        :raises NotFound: the workspace has none of that id, or it is of the other kind.
        """
        stored = _stored(await self._database.fetchrow(_GET, workspace_id, connection_id))
        if kind is not None and stored.kind is not kind:
            raise _not_found()
        return stored

    async def list(
        self,
        workspace_id: WorkspaceId,
        kind: ConnectionKind,
        *,
        connector: str | None = None,
        after: tuple[datetime, str] | None = None,
        limit: int = 1000,
    ) -> Sequence[StoredConnection]:
        """Oldest first, those behind `after` (created_at, id)."""
        moment, last_id = after or (None, None)
        rows = await self._database.fetch(_LIST, workspace_id, kind, connector, moment, last_id, limit)
        return [_stored(row) for row in rows]

    async def open_settings(self, connection_id: str) -> tuple[StoredConnection, dict[str, Any]]:
        """The connection, and its settings with the secrets in their places.

        :raises NotFound: there is none of that id.
        :raises Invalid: the keyring cannot open its secrets.
        """
        row = await self._database.fetchrow(_OPEN, connection_id)
        stored = _stored(row)
        secrets = self._open(stored.workspace_id, stored.id, row["secrets"]) if row else {}
        return stored, put(stored.settings, secrets)

    async def update(
        self, workspace_id: WorkspaceId, kind: ConnectionKind, connection_id: str, draft: ConnectionDraft
    ) -> StoredConnection:
        """Take over everything in the draft; of the stored secrets stay those that it keeps.

        :raises NotFound: the workspace has none of that id and kind.
        :raises Stale: it is at none of the revisions.
        """
        async with self._database.transaction() as connection:
            old = await _lock(connection, (workspace_id, connection_id, kind), draft.only_if)
            secrets = self._kept(workspace_id, connection_id, old, draft.kept) | dict(draft.secrets)
            sealed = self._seal(workspace_id, connection_id, secrets)
            limits = (draft.requests_per_s, draft.max_in_flight)
            row = await connection.fetchrow(_UPDATE, connection_id, draft.name, dict(draft.settings), sealed, *limits)
        return _stored(row)

    @asynccontextmanager
    async def holding_secrets(self, connection_id: str) -> AsyncIterator[dict[str, str]]:
        """The secrets by their places, with nobody else at them; what is changed by the end of the scope is sealed.

        The connection's revision stays: nobody has changed its settings.

        :raises NotFound: there is none of that id.
        """
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(_HOLD, connection_id)
            if row is None:
                raise _not_found()
            held = self._open(row["workspace_id"], connection_id, row["secrets"])
            secrets = dict(held)
            yield secrets
            if secrets != held:
                await connection.execute(
                    _RESEAL, connection_id, self._seal(row["workspace_id"], connection_id, secrets)
                )

    async def note_check(self, connection_id: ConnectionId, code: str | None) -> None:
        """Remember how a test of the connection went: None that it works, else the code of what is wrong."""
        await self._database.execute(_NOTE_CHECK, connection_id, code)

    async def delete(
        self, workspace_id: WorkspaceId, kind: ConnectionKind, connection_id: str, *, only_if: OnlyIf = None
    ) -> datetime:
        """Forget the connection, its secrets at once; gives the moment.

        :raises NotFound: the workspace has none of that id and kind.
        :raises Conflict: `IN_USE`, naming the syncs that need it.
        :raises Stale: it is at none of the revisions.
        """
        async with self._database.transaction() as connection:
            await _lock(connection, (workspace_id, connection_id, kind), only_if)
            await _refuse_if_used(connection, workspace_id, connection_id)
            moment: datetime = await connection.fetchval(_DELETE, connection_id)
        return moment

    def _kept(self, workspace_id: str, connection_id: str, sealed: bytes, kept: Sequence[str]) -> dict[str, str]:
        if not kept:
            return {}
        opened = self._open(workspace_id, connection_id, sealed)
        return {place: opened[place] for place in kept if place in opened}

    def _seal(self, workspace_id: str, connection_id: str, secrets: Mapping[str, str]) -> bytes:
        return self._box.seal(orjson.dumps(dict(secrets)), bound_to=secrets_binding(workspace_id, connection_id))

    def _open(self, workspace_id: str, connection_id: str, sealed: bytes) -> dict[str, str]:
        plain = self._box.open(sealed, bound_to=secrets_binding(workspace_id, connection_id))
        opened: dict[str, str] = orjson.loads(plain)
        return opened


async def _lock(connection: Connection, names: tuple[str, str, str], only_if: OnlyIf) -> bytes:
    """The sealed secrets of a connection that nobody else changes until the transaction ends."""
    row = await connection.fetchrow(_LOCK, *names)
    if row is None:
        raise _not_found()
    require_revision(row["updated_at"], only_if)
    secrets: bytes = row["secrets"]
    return secrets


def secrets_binding(workspace_id: str, connection_id: str) -> str:
    """What the secrets of a connection are bound to: they open in no other connection's place."""
    return f"{workspace_id}/{connection_id}"


async def _refuse_if_used(connection: Connection, workspace_id: str, connection_id: str) -> None:
    rows = await connection.fetch(_USED_BY, workspace_id, connection_id)
    if rows:
        some = ", ".join(f"{row['id']} ({row['name']})" for row in rows[:_NAMED_AT_MOST])
        more = f" and {len(rows) - _NAMED_AT_MOST} more" if len(rows) > _NAMED_AT_MOST else ""
        told = f"syncs or models use it: {some}{more}; point them elsewhere or delete them first"
        raise Conflict(told, code="IN_USE", existing_id=rows[0]["id"])


def _not_found() -> NotFound:
    return NotFound("no such connection in this workspace", code="CONNECTION_NOT_FOUND")


def _stored(row: Record | None) -> StoredConnection:
    if row is None:
        raise _not_found()
    return StoredConnection(
        ConnectionId(row["id"]),
        WorkspaceId(row["workspace_id"]),
        ConnectionKind(row["kind"]),
        row["name"],
        row["connector"],
        row["settings"],
        row["requests_per_s"],
        row["max_in_flight"],
        row["created_at"],
        row["updated_at"],
        row["checked_at"],
        row["check_code"],
    )
