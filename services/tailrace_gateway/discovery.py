"""What destinations and sources say of themselves, asked live and bounded in time."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import structlog

from tailrace.connector_kit.capabilities import MakesFields, NewField
from tailrace.connector_kit.destination import Destination, Field, Object
from tailrace.connector_kit.http import HttpClient
from tailrace.connector_kit.warehouse import Warehouse
from tailrace.core.clock import Clock
from tailrace.core.errors import (
    DestinationUnavailable,
    InDoubt,
    Invalid,
    NotFound,
    SourceUnavailable,
    Unavailable,
)
from tailrace.core.ids import WorkspaceId
from tailrace.core.rows import Column
from tailrace.core.syncs import SyncDefinition
from tailrace.core.waits import in_time
from tailrace.mapping.accepted import Accepted, accepted_by
from tailrace.mapping.checks import mapping_faults
from tailrace.observe import fields
from tailrace.runtime.ends import open_destination, open_warehouse
from tailrace.store.connections import ConnectionKind, Connections, StoredConnection
from tailrace_gateway.first_rows import read_first
from tailrace_gateway.memory import Memory
from tailrace_gateway.problems import Fault, Unprocessable
from tailrace_gateway.sync_bodies import require_sound

ASK_S = 15.0
"""Longest time for a question that a user waits for."""

LOOK_S = 5.0
"""Longest time for a check on the way to something else."""

REMEMBERED_S = 60.0
"""So long a destination is not asked again for its objects and fields, unless it was changed."""

DESTINATION_SILENT = "the destination does not answer"
_WAREHOUSE_SILENT = "the warehouse does not answer"

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

    async def ensure_field(self, stored: StoredConnection, object_name: str, field: NewField) -> Field:
        """The field of an object, made if it was not there.

        :raises Invalid: the destination makes no fields, or not this one there.
        :raises Unavailable, InDoubt: the destination does not answer as it should.
        """
        async with self._destination(stored, ASK_S) as destination:
            if not isinstance(destination, MakesFields):
                raise Unprocessable([Fault("", "capability", f"{destination.label} makes no fields: make it there")])
            made = await destination.ensure_field(object_name, field)
        self._shared.fields.forget((stored.id, stored.updated_at, object_name))
        return made

    async def check(self, stored: StoredConnection) -> None:
        """Return if the connection works.

        :raises Invalid, Unavailable, InDoubt: it does not, with what to do about it.
        """
        if stored.kind is ConnectionKind.DESTINATION:
            async with self._destination(stored, ASK_S) as destination:
                await destination.check()
            return
        async with self._warehouse(stored, ASK_S) as warehouse:
            await warehouse.check()

    @asynccontextmanager
    async def ends_of(
        self, workspace_id: WorkspaceId, definition: SyncDefinition, *, opens_s: float = ASK_S
    ) -> AsyncIterator[tuple[Warehouse, Destination]]:
        """Both ends of a sync, each open within `opens_s`; what is done with them has bounds of its own.

        :raises NotFound: the workspace has no such source or destination.
        :raises Invalid, Unavailable, InDoubt: one of them does not answer as it should, or not in time.
        """
        stored = await self._connections.get(workspace_id, definition.destination_id, kind=ConnectionKind.DESTINATION)
        source = await self._connections.get(workspace_id, definition.source_id, kind=ConnectionKind.SOURCE)
        async with AsyncExitStack() as ends:
            async with in_time(opens_s, DestinationUnavailable, DESTINATION_SILENT):
                await ends.enter_async_context(self._turns)
                opening = open_destination(stored, self._connections, self._http)
                destination = await ends.enter_async_context(opening)
            async with in_time(opens_s, SourceUnavailable, _WAREHOUSE_SILENT):
                warehouse = await ends.enter_async_context(open_warehouse(source, self._connections, self._http))
            yield warehouse, destination

    async def first_rows(self, stored: StoredConnection, query: str, *, limit: int) -> list[dict[str, Any]]:
        """The first rows of a source's query; none for a limit of 0, which only checks it.

        :raises Invalid, Unavailable: the warehouse refuses the query, does not answer, or its rows are too many bytes.
        """
        async with self._warehouse(stored, PREVIEW_S) as warehouse:
            return await read_first(warehouse, query, limit=limit, limit_bytes=PREVIEW_LIMIT_BYTES)

    async def require_target(self, workspace_id: WorkspaceId, definition: SyncDefinition) -> None:
        """Return if source and destination offer what the definition asks for.

        One that does not answer is not asked again: the run checks all of it before it reads a row.

        :raises NotFound: the workspace has no such destination.
        :raises Unprocessable: no such object, column or field, not in this mode, or types that never fit.
        """
        stored = await self._connections.get(workspace_id, definition.destination_id, kind=ConnectionKind.DESTINATION)
        async with asyncio.TaskGroup() as tasks:
            source = tasks.create_task(self._look_at_source(workspace_id, definition))
            target = await self._look_at_target(stored, definition)
        if target.faults:
            raise Unprocessable(target.faults)
        require_sound(mapping_faults(definition, source.result(), target.accepted))

    async def _look_at_target(self, stored: StoredConnection, definition: SyncDefinition) -> "_Target":
        try:
            async with self._destination(stored, LOOK_S) as destination:
                faults, is_known = await _faults(destination, definition)
                return _Target(faults, await accepted_by(destination, definition.object_name) if is_known else None)
        except (Unavailable, InDoubt, Invalid) as error:
            log.info("target.unchecked", **{fields.CONNECTION_ID: stored.id, fields.CODE: error.code})
            return _Target([], None)

    async def _look_at_source(self, workspace_id: WorkspaceId, definition: SyncDefinition) -> Sequence[Column] | None:
        """The columns of the query; None where nobody can tell them now."""
        try:
            return await self.columns(workspace_id, definition.source_id, definition.source_query, within_s=LOOK_S)
        except (Unavailable, Invalid, NotFound) as error:
            log.info("source.unchecked", **{fields.CONNECTION_ID: definition.source_id, fields.CODE: error.code})
            return None

    async def columns(
        self, workspace_id: WorkspaceId, source_id: str, query: str, *, within_s: float = ASK_S
    ) -> Sequence[Column]:
        """The columns of a query.

        :raises NotFound: the workspace has no such source.
        :raises Invalid, Unavailable: the warehouse refuses the query, or does not answer in time.
        """
        stored = await self._connections.get(workspace_id, source_id, kind=ConnectionKind.SOURCE)
        async with self._warehouse(stored, within_s) as warehouse:
            return await warehouse.columns(query)

    @asynccontextmanager
    async def _warehouse(self, stored: StoredConnection, within_s: float) -> AsyncIterator[Warehouse]:
        opening = open_warehouse(stored, self._connections, self._http)
        async with in_time(within_s, SourceUnavailable, _WAREHOUSE_SILENT), self._turns, opening as warehouse:
            yield warehouse

    @asynccontextmanager
    async def _destination(self, stored: StoredConnection, within_s: float) -> AsyncIterator[Destination]:
        opening = open_destination(stored, self._connections, self._http)
        async with in_time(within_s, DestinationUnavailable, DESTINATION_SILENT), self._turns, opening as destination:
            yield destination


class _Target(NamedTuple):
    """What is wrong with object and mode, and what the object takes, where that is known."""

    faults: list[Fault]
    accepted: Accepted | None


async def _faults(destination: Destination, definition: SyncDefinition) -> tuple[list[Fault], bool]:
    """What is wrong with object and mode, and whether the destination can be asked about its fields."""
    objects = {each.name: each for each in await destination.objects()}
    if not objects:
        return [], True
    wanted = objects.get(definition.object_name)
    if wanted is None or not wanted.writable:
        writable = [name for name, each in objects.items() if each.writable]
        return [Fault("/objectName", "object", f"no such object to write to; there are {_told(writable)}")], False
    if definition.sync_mode not in wanted.modes:
        modes = ", ".join(sorted(wanted.modes))
        return [Fault("/syncMode", "mode", f"this object takes {modes}")], False
    return [], True


def _told(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > _NAMES_TOLD else ""
    return ", ".join(sorted(names)[:_NAMES_TOLD]) + more
