"""What destinations and sources say of themselves, asked live and bounded in time."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

import structlog

from tailrace.connector_kit import registry
from tailrace.connector_kit.destination import Destination, Field, Object
from tailrace.connector_kit.http import HttpClient
from tailrace.connector_kit.warehouse import Warehouse
from tailrace.core.clock import Clock
from tailrace.core.errors import (
    DestinationUnavailable,
    InDoubt,
    Invalid,
    SourceUnavailable,
    Unavailable,
)
from tailrace.core.ids import WorkspaceId
from tailrace.core.syncs import SyncDefinition
from tailrace.observe import fields
from tailrace.store.connections import ConnectionKind, Connections, StoredConnection
from tailrace_gateway.first_rows import read_first
from tailrace_gateway.memory import Memory
from tailrace_gateway.problems import Fault, Unprocessable

ASK_S = 15.0
"""Longest time for a question that a user waits for."""

LOOK_S = 5.0
"""Longest time for a check on the way to something else."""

REMEMBERED_S = 60.0
"""So long a destination is not asked again for its objects and fields, unless it was changed."""

PREVIEW_S = 30.0
PREVIEW_LIMIT_BYTES = 4 * 1024 * 1024

_REMEMBERED_MOST = 1024
_AT_ONCE = 16
_NAMES_TOLD = 20

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Shared:
    """What the views of one process have in common: turns at asking, and what was answered lately."""

    turns: asyncio.Semaphore
    objects: Memory[Sequence[Object]]
    fields: Memory[Sequence[Field]]

    @classmethod
    def fresh(cls, clock: Clock) -> Self:
        """Nothing remembered."""
        return cls(
            asyncio.Semaphore(_AT_ONCE),
            Memory(clock, for_s=REMEMBERED_S, most=_REMEMBERED_MOST),
            Memory(clock, for_s=REMEMBERED_S, most=_REMEMBERED_MOST),
        )


class Discovery:
    """Opens a connector for one question and closes it; no more than a few at once."""

    def __init__(self, connections: Connections, http: HttpClient, shared: Shared) -> None:
        self._connections = connections
        self._http = http
        self._shared = shared
        self._turns = shared.turns

    def over(self, connections: Connections) -> "Discovery":
        """The same for these connections; both take turns, and remember the same."""
        return Discovery(connections, self._http, self._shared)

    async def objects(self, workspace_id: WorkspaceId, destination_id: str) -> Sequence[Object]:
        """The objects of a destination.

        :raises NotFound: the workspace has no such destination.
        :raises Invalid, Unavailable, InDoubt: the destination does not answer as it should.
        """
        stored = await self._connections.get(workspace_id, destination_id, kind=ConnectionKind.DESTINATION)

        async def ask() -> Sequence[Object]:
            async with self._destination(stored, ASK_S) as destination:
                return await destination.objects()

        return await self._shared.objects.recall((stored.id, stored.updated_at), ask)

    async def fields(self, workspace_id: WorkspaceId, destination_id: str, object_name: str) -> Sequence[Field]:
        """The fields of an object; empty where any field is taken.

        :raises NotFound: the workspace has no such destination.
        :raises Invalid, Unavailable, InDoubt: the destination does not answer as it should.
        """
        stored = await self._connections.get(workspace_id, destination_id, kind=ConnectionKind.DESTINATION)

        async def ask() -> Sequence[Field]:
            async with self._destination(stored, ASK_S) as destination:
                return await destination.fields(object_name)

        return await self._shared.fields.recall((stored.id, stored.updated_at, object_name), ask)

    async def check(self, stored: StoredConnection) -> None:
        """Return if the connection works.

        :raises Invalid, Unavailable, InDoubt: it does not, with what to do about it.
        """
        if stored.kind is ConnectionKind.DESTINATION:
            async with self._destination(stored, ASK_S) as destination:
                await destination.check()
            return
        _, raw = await self._connections.open_settings(stored.id)
        connector = registry.warehouse_type(stored.connector)
        settings = registry.validate_settings(connector.settings_type, raw)
        try:
            async with asyncio.timeout(ASK_S), self._turns, connector.open(settings) as warehouse:
                await warehouse.check()
        except TimeoutError as error:
            raise SourceUnavailable(f"the warehouse does not answer within {ASK_S:g} s") from error

    @asynccontextmanager
    async def ends_of(
        self, workspace_id: WorkspaceId, definition: SyncDefinition, *, within_s: float
    ) -> AsyncIterator[tuple[Warehouse, Destination]]:
        """Both ends of a sync for as long as the scope lasts.

        :raises NotFound: the workspace has no such source or destination.
        :raises Invalid, Unavailable, InDoubt: one of them does not answer as it should, or not in time.
        """
        stored = await self._connections.get(workspace_id, definition.destination_id, kind=ConnectionKind.DESTINATION)
        source = await self._connections.get(workspace_id, definition.source_id, kind=ConnectionKind.SOURCE)
        _, raw = await self._connections.open_settings(source.id)
        connector = registry.warehouse_type(source.connector)
        settings = registry.validate_settings(connector.settings_type, raw)
        async with self._destination(stored, within_s) as destination, connector.open(settings) as warehouse:
            yield warehouse, destination

    async def first_rows(self, stored: StoredConnection, query: str, *, limit: int) -> list[dict[str, Any]]:
        """The first rows of a source's query; none for a limit of 0, which only checks it.

        :raises Invalid, Unavailable: the warehouse refuses the query, does not answer, or its rows are too many bytes.
        """
        _, raw = await self._connections.open_settings(stored.id)
        connector = registry.warehouse_type(stored.connector)
        settings = registry.validate_settings(connector.settings_type, raw)
        try:
            async with asyncio.timeout(PREVIEW_S), self._turns, connector.open(settings) as warehouse:
                return await read_first(warehouse, query, limit=limit, limit_bytes=PREVIEW_LIMIT_BYTES)
        except TimeoutError as error:
            raise SourceUnavailable(f"the warehouse does not answer within {PREVIEW_S:g} s") from error

    async def require_target(self, workspace_id: WorkspaceId, definition: SyncDefinition) -> None:
        """Return if the destination offers what the definition asks for, or does not answer: the run checks again.

        :raises NotFound: the workspace has no such destination.
        :raises Unprocessable: no such object or field, or not in this mode.
        """
        stored = await self._connections.get(workspace_id, definition.destination_id, kind=ConnectionKind.DESTINATION)
        try:
            async with self._destination(stored, LOOK_S) as destination:
                faults = await _faults(destination, definition)
        except (Unavailable, InDoubt, Invalid) as error:
            log.info("target.unchecked", **{fields.CONNECTION_ID: stored.id, fields.CODE: error.code})
            return
        if faults:
            raise Unprocessable(faults)

    @asynccontextmanager
    async def _destination(self, stored: StoredConnection, within_s: float) -> AsyncIterator[Destination]:
        _, raw = await self._connections.open_settings(stored.id)
        connector = registry.destination_type(stored.connector)
        settings = registry.validate_settings(connector.settings_type, raw)
        try:
            async with asyncio.timeout(within_s), self._turns, connector.open(settings, self._http) as opened:
                yield opened
        except TimeoutError as error:
            raise DestinationUnavailable(f"the destination does not answer within {within_s:g} s") from error


async def _faults(destination: Destination, definition: SyncDefinition) -> list[Fault]:
    objects = {each.name: each for each in await destination.objects()}
    if not objects:
        return []
    wanted = objects.get(definition.object_name)
    if wanted is None or not wanted.writable:
        writable = [name for name, each in objects.items() if each.writable]
        return [Fault("/objectName", "object", f"no such object to write to; there are {_told(writable)}")]
    if definition.sync_mode not in wanted.modes:
        modes = ", ".join(sorted(wanted.modes))
        return [Fault("/syncMode", "mode", f"this object takes {modes}")]
    known = [field.name for field in await destination.fields(wanted.name)]
    return [
        Fault(f"/fieldMappings/{at}/destination", "field", f"no such field; there are {_told(known)}")
        for at, mapping in enumerate(definition.field_mappings)
        if known and mapping.destination not in known
    ]


def _told(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > _NAMES_TOLD else ""
    return ", ".join(sorted(names)[:_NAMES_TOLD]) + more
