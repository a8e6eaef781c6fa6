"""The walk of a row, from the warehouse to the checkpoint that tells what became of it."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from tailrace.connector_kit.destination import WritePlan
from tailrace.connector_kit.warehouse import Reading, Warehouse
from tailrace.core.rows import Block, RowKey
from tailrace.core.settlements import Phase, Position
from tailrace.core.snapshots import Entry
from tailrace.core.syncs import SyncDefinition
from tailrace.observe.failpoints import failpoint
from tailrace.pipeline.batch import Recipe, batch
from tailrace.pipeline.diff import diff
from tailrace.pipeline.flight import Flight, deliver_and_settle
from tailrace.pipeline.map_fields import MappedRow, Mapper
from tailrace.pipeline.mirror import Marked, check_deletes, deletes


class Snapshot(Marked, Protocol):
    """What was delivered by earlier runs, as it stood when this run began."""

    def entries(self, *, after: RowKey | None) -> AsyncIterator[list[Entry]]:
        """Entries in key order behind a key."""
        ...


@dataclass(frozen=True, slots=True)
class Route:
    """Everything that one run needs on its way; `only` restricts it to some keys.

    `delete_plan` is for rows that left the query, in the mode that deletes them.
    """

    definition: SyncDefinition
    start: Position
    only: Sequence[RowKey] | None
    warehouse: Warehouse
    snapshot: Snapshot
    recipe: Recipe
    flight: Flight
    delete_plan: WritePlan | None = None


async def walk(route: Route) -> None:
    """Carry every row of the query, and every row that left it, from where the run stands to its outcome.

    :raises TailraceError: why it stopped; what was settled before stays settled, the rest will be read again.
    """
    if route.start.phase is Phase.ROWS:
        await _walk_rows(route)
    if route.delete_plan is not None:
        await _walk_deletes(route, route.delete_plan)


async def map_fields(blocks: AsyncIterator[Block], mapper: Mapper) -> AsyncIterator[list[MappedRow]]:
    """Rows as the destination would get them, a list a block."""
    async for block in blocks:
        failpoint("exec.mid_read")
        mapped = mapper.map_block(block)
        failpoint("exec.after_map")
        yield mapped


async def _walk_rows(route: Route) -> None:
    definition, start = route.definition, route.start
    columns = await route.warehouse.columns(definition.source_query)
    mapper = Mapper(definition.field_mappings, columns, start)
    failpoint("exec.before_first_read")
    async with route.warehouse.read(_reading(route)) as blocks:
        rows = map_fields(blocks, mapper)
        changes = diff(rows, route.snapshot.entries(after=start.after))
        parcels = batch(changes, route.recipe, start)
        await deliver_and_settle(parcels, route.flight)


async def _walk_deletes(route: Route, plan: WritePlan) -> None:
    """Delete what is marked as gone; a run that stands in this phase has passed the guard."""
    start = route.start
    if start.phase is Phase.ROWS:
        await route.snapshot.merge()
        check_deletes(await route.snapshot.census(), route.definition.max_delete_ratio)
        start = Position(phase=Phase.DELETES)
    flight = replace(route.flight, deliverer=replace(route.flight.deliverer, plan=plan))
    gone = deletes(route.snapshot.gone(after=start.after), plan.target.key_fields)
    await deliver_and_settle(batch(gone, replace(route.recipe, plan=plan), start), flight)


def _reading(route: Route) -> Reading:
    definition, after = route.definition, route.start.after
    if route.only is None:
        return Reading(definition.source_query, definition.key_columns, after=after)
    wanted = [key for key in route.only if after is None or key > after]
    return Reading(definition.source_query, definition.key_columns, only=wanted)
