"""The walk of a row, from the warehouse to the checkpoint that tells what became of it."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass
from typing import Protocol

from tailrace.connector_kit.warehouse import Reading, Warehouse
from tailrace.core.batches import BatchResult
from tailrace.core.errors import TailraceError
from tailrace.core.rows import Block, RowKey
from tailrace.core.settlements import Position
from tailrace.core.snapshots import Entry
from tailrace.core.syncs import SyncDefinition
from tailrace.observe.failpoints import failpoint
from tailrace.pipeline.batch import Parcel, Recipe, batch
from tailrace.pipeline.deliver import Deliverer
from tailrace.pipeline.diff import diff
from tailrace.pipeline.map_fields import MappedRow, Mapper
from tailrace.pipeline.settle import Sent, Settler, Window
from tailrace.pipeline.tenure import Stopped, Tenure

_PARCELS_IN_FLIGHT = 256


class Snapshot(Protocol):
    """What was delivered by earlier runs, as it stood when this run began."""

    def entries(self, *, after: RowKey | None) -> AsyncIterator[list[Entry]]:
        """Entries in key order behind a key."""
        ...


@dataclass(frozen=True, slots=True)
class Route:
    """Everything that one run needs on its way; `only` restricts it to some keys."""

    definition: SyncDefinition
    start: Position
    only: Sequence[RowKey] | None
    warehouse: Warehouse
    snapshot: Snapshot
    recipe: Recipe
    deliverer: Deliverer
    settler: Settler
    window: Window
    tenure: Tenure


async def walk(route: Route) -> None:
    """Carry every row of the query from where the run stands to its outcome.

    :raises TailraceError: why it stopped; what was settled before stays settled, the rest will be read again.
    """
    definition, start = route.definition, route.start
    columns = await route.warehouse.columns(definition.source_query)
    mapper = Mapper(definition.field_mappings, columns, start)
    failpoint("exec.before_first_read")
    async with route.warehouse.read(_reading(route)) as blocks:
        rows = map_fields(blocks, mapper)
        changes = diff(rows, route.snapshot.entries(after=start.after))
        parcels = batch(changes, route.recipe, start)
        await deliver_and_settle(parcels, route)


async def map_fields(blocks: AsyncIterator[Block], mapper: Mapper) -> AsyncIterator[list[MappedRow]]:
    """Rows as the destination would get them, a list a block."""
    async for block in blocks:
        failpoint("exec.mid_read")
        mapped = mapper.map_block(block)
        failpoint("exec.after_map")
        yield mapped


async def deliver_and_settle(parcels: AsyncIterator[Parcel], route: Route) -> None:
    """Send parcels side by side and settle them in order.

    :raises TailraceError: the first failure, after everything before it was settled.
    """
    flight = _Flight()
    async with asyncio.TaskGroup() as tasks:
        settling = tasks.create_task(route.settler.settle(flight.sent, flight.fail))
        feeding = tasks.create_task(_feed(parcels, route, flight, tasks))
        ending = tasks.create_task(_first(route.tenure.stopped(), flight.broken.wait()))
        await asyncio.wait({feeding, ending}, return_when=asyncio.FIRST_COMPLETED)
        feeding.cancel()
        ending.cancel()
        await asyncio.wait({feeding})
        await flight.sent.put(None)
    failure = settling.result() or _failure(feeding, route.tenure)
    if failure is not None:
        raise failure


class _Flight:
    """The parcels on their way, in the order in which they were read, and whether one of them failed."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[Sent | None] = asyncio.Queue(_PARCELS_IN_FLIGHT)
        self.failure: TailraceError | None = None
        self.broken = asyncio.Event()

    def fail(self, error: TailraceError) -> None:
        """Start nothing more; the first failure stands."""
        self.failure = self.failure or error
        self.broken.set()


async def _feed(
    parcels: AsyncIterator[Parcel], route: Route, flight: _Flight, tasks: asyncio.TaskGroup
) -> TailraceError | None:
    """Start the delivery of parcel after parcel, as far as the window lets; gives why it could not go on."""
    try:
        async for parcel in parcels:
            await route.window.enter(parcel.rows_to_send)
            await flight.sent.put(Sent(parcel, tasks.create_task(_answer(parcel, route, flight))))
    except TailraceError as error:
        return error
    return None


async def _answer(parcel: Parcel, route: Route, flight: _Flight) -> BatchResult | TailraceError | None:
    """What became of a parcel; a failure is a value here, so that what was read before it is still settled."""
    if parcel.batch is None:
        return None
    if flight.failure is not None:
        return flight.failure
    try:
        return await route.deliverer.deliver(parcel.batch)
    except TailraceError as error:
        flight.fail(error)
        return error


async def _first(*waits: Coroutine[object, object, object]) -> None:
    """Return when one of the waits does."""
    async with asyncio.TaskGroup() as tasks:
        started = {tasks.create_task(wait) for wait in waits}
        await asyncio.wait(started, return_when=asyncio.FIRST_COMPLETED)
        for task in started:
            task.cancel()


def _failure(feeding: "asyncio.Task[TailraceError | None]", tenure: Tenure) -> TailraceError | None:
    if not feeding.cancelled():
        return feeding.result()
    return Stopped(tenure.reason)


def _reading(route: Route) -> Reading:
    definition, after = route.definition, route.start.after
    if route.only is None:
        return Reading(definition.source_query, definition.key_columns, after=after)
    wanted = [key for key in route.only if after is None or key > after]
    return Reading(definition.source_query, definition.key_columns, only=wanted)
