"""One row of a sync's query as it stands now, and how it compares with what was delivered of it."""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import orjson

from tailrace.connector_kit.warehouse import Warehouse
from tailrace.core.errors import DestinationUnavailable, SourceUnavailable
from tailrace.core.rows import Change, Operation, RowKey
from tailrace.core.runs import RunKind
from tailrace.core.settlements import Position, dedupe_key
from tailrace.core.snapshots import Entry, is_version
from tailrace.core.syncs import SyncDefinition, SyncMode
from tailrace.core.waits import in_time
from tailrace.mapping.accepted import Accepted, accepted_by
from tailrace.pipeline.map_fields import Mapper
from tailrace.pipeline.modes import operation
from tailrace.pipeline.places import order_of
from tailrace.pipeline.plain import MappedRow
from tailrace.pipeline.read import by_key, newest_of_each, reading_of_some
from tailrace.store.syncs import Sync
from tailrace_gateway.discovery import ASK_S, DESTINATION_SILENT
from tailrace_gateway.stores import Stores

LOOK_S = 15.0
"""So long the warehouse may take to find the row."""

Comparison: TypeAlias = Literal["same", "different", "undelivered", "held_back", "refused", "absent", "not_kept"]
_CHANGES: dict[Comparison, Change] = {
    "same": Change.UNCHANGED,
    "different": Change.CHANGED,
    "undelivered": Change.ADDED,
    "absent": Change.REMOVED,
}


@dataclass(frozen=True, slots=True)
class RowNow:
    """The row as it would be sent now, None where the query has none; how it compares, and what is sent of it next.

    `sends` is None where the next run sends nothing, or where that is not known.
    """

    mapped: MappedRow | None
    comparison: Comparison
    sends: Operation | None


def fields_of(body: bytes) -> dict[str, Any] | None:
    """The fields of a row as it is sent; None where JSON in it is too deep, or a number too large, to be shown."""
    try:
        fields: dict[str, Any] = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return fields


async def look_at_source(
    stores: Stores, sync: Sync, key: RowKey, known: Entry | None, *, within_s: float = LOOK_S
) -> RowNow:
    """Read the row and compare it with what is known of it; nothing is written.

    :raises Invalid, Unavailable, InDoubt: the source or the destination does not answer as it should, or not in time.
    """
    definition = sync.definition
    bound = in_time(ASK_S + within_s, DestinationUnavailable, DESTINATION_SILENT)
    async with stores.discovery.ends_of(sync.workspace_id, definition) as (warehouse, destination), bound:
        accepted = await accepted_by(destination, definition.object_name)
        mapped = await read_row(warehouse, definition, key, accepted, within_s=within_s)
    comparison = await _compare(stores, sync, mapped, known)
    return RowNow(mapped, comparison, _sends(definition, comparison, known))


async def read_row(
    warehouse: Warehouse, definition: SyncDefinition, key: RowKey, accepted: Accepted, *, within_s: float
) -> MappedRow | None:
    """The row of a key as a run would send it; of several the one that a run takes. None where the query has none.

    :raises Invalid, Unavailable: as the warehouse's reading does; `SourceUnavailable` where it takes too long.
    """
    async with in_time(within_s, SourceUnavailable, "the warehouse did not find the row"):
        return await _row_of_key(warehouse, definition, key, accepted)


async def _row_of_key(
    warehouse: Warehouse, definition: SyncDefinition, key: RowKey, accepted: Accepted
) -> MappedRow | None:
    columns = await warehouse.columns(definition.source_query)
    cursor = order_of(definition, columns).cursor
    mapper = Mapper(by_key(definition), columns, Position(), accepted)
    async with warehouse.read(reading_of_some(definition, [key], Position())) as blocks:
        async for block in blocks if cursor is None else newest_of_each(blocks, cursor):
            for mapped in mapper.map_block(block):
                return mapped
    return None


async def _compare(stores: Stores, sync: Sync, mapped: MappedRow | None, known: Entry | None) -> Comparison:
    is_kept = sync.definition.sync_mode is not SyncMode.APPEND and (known is not None or sync.definition.cursor is None)
    if mapped is None or mapped.problem is not None:
        return "absent" if mapped is None else "refused"
    if not is_kept:
        return "not_kept"
    if known is not None and await _is_held_back(stores, sync, mapped, known):
        return "held_back"
    if known is None or known.delivered is None:
        return "undelivered"
    return "same" if is_version(known.delivered, mapped.row) and not known.is_gone else "different"


async def _is_held_back(stores: Stores, sync: Sync, mapped: MappedRow, known: Entry) -> bool:
    """Whether the next run leaves this very version out, because it was refused before."""
    if sync.definition.resend or not is_version(known.dead, mapped.row):
        return False
    name = dedupe_key(mapped.row.key)
    return (await stores.dead_letters.still_dead(sync.id, [name])).get(name) is False


def _sends(definition: SyncDefinition, comparison: Comparison, known: Entry | None) -> Operation | None:
    if definition.cursor is not None:
        return None
    if comparison == "absent" and (known is None or known.delivered is None):
        return None
    change = Change.ADDED if comparison == "not_kept" else _CHANGES.get(comparison)
    kind = RunKind.FULL if definition.resend else RunKind.INCREMENTAL
    return None if change is None else operation(definition.sync_mode, kind, change)
