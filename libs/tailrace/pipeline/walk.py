"""The walk of a row, from the warehouse to the checkpoint that tells what became of it.

Nothing of the warehouse is held once all of the query was read, however long delivery takes.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from tailrace.connector_kit.destination import WritePlan
from tailrace.connector_kit.row_hashes import HashedRows, HashesRows
from tailrace.connector_kit.warehouse import Reading, Warehouse
from tailrace.core.keys import canonical
from tailrace.core.rows import Change, Column, RowKey
from tailrace.core.runs import RunKind
from tailrace.core.settlements import KeptRow, Phase, Position
from tailrace.core.snapshots import Entry
from tailrace.core.syncs import SyncDefinition, SyncMode
from tailrace.core.waits import side_by_side
from tailrace.mapping.accepted import ANYTHING, Accepted
from tailrace.mapping.sent_keys import keys_may_meet
from tailrace.observe.failpoints import failpoint
from tailrace.pipeline.batch import Recipe, batch
from tailrace.pipeline.belt import Belt
from tailrace.pipeline.columns import PinnedColumns
from tailrace.pipeline.diff import diff
from tailrace.pipeline.flight import Flight, deliver_and_settle
from tailrace.pipeline.hashing import hashing_of
from tailrace.pipeline.known import Known
from tailrace.pipeline.map_fields import CODES_OF_QUERIES, DUPLICATE_KEY, KEY_TOO_LONG, NUL_IN_KEY, Mapper, map_fields
from tailrace.pipeline.mirror import Marked, check_deletes, deletes
from tailrace.pipeline.modes import sent_changes
from tailrace.pipeline.places import CursorColumn, Order, order_of
from tailrace.pipeline.plain import RowChange
from tailrace.pipeline.read import (
    Watched,
    by_key,
    check_readable,
    is_of_another_kind,
    kept,
    newest_of_each,
    reading_of_some,
    watched,
    what_to_read,
)
from tailrace.pipeline.sieve import Sieve
from tailrace.pipeline.sift import sift
from tailrace.pipeline.spools import Spools

"""What is wrong with rows that every run reads, wherever the cursor stands."""


async def _keep_open() -> None:
    """Leave the warehouse to whoever opened it."""


async def _share_nothing() -> bool:
    """Nobody else has a part of the run."""
    return True


class Snapshot(Marked, Watched, Protocol):
    """What was delivered by earlier runs, as it stood when this run began."""

    def entries(self, *, after: RowKey | None) -> AsyncIterator[Sequence[Entry]]:
        """Entries in key order behind a key."""
        ...


@dataclass(frozen=True, slots=True)
class Route:
    """Everything that a run needs on its way; `only` restricts it to some keys, `accepted` is what may be sent.

    `delete_plan` is for rows that left the query, in the mode that deletes them. `kept_rows` gives the rows of a replay
    that are not to be read again, in the mode that sends them for what they say. So many deletes as are confirmed pass
    the guard. `close_mended` is told what of all that is wrong with rows was looked for in the whole query.
    `leave_warehouse` ends the connection, which the rest of the way does not need. A shard ends with the key `until`,
    and asks whether it `is_last` once its rows are settled: what is done once for a run is for that one to do. Without
    `spools`, what waits for the destination waits in memory and in the warehouse.
    """

    definition: SyncDefinition
    start: Position
    only: Sequence[RowKey] | None
    warehouse: Warehouse
    snapshot: Snapshot
    recipe: Recipe
    columns: PinnedColumns
    flight: Flight
    accepted: Accepted = ANYTHING
    delete_plan: WritePlan | None = None
    kept_rows: Callable[[], AsyncIterator[Sequence[KeptRow]]] | None = None
    deletes_confirmed: int = 0
    close_mended: Callable[[Sequence[str]], Awaitable[None]] | None = None
    leave_warehouse: Callable[[], Awaitable[None]] = _keep_open
    until: RowKey | None = None
    is_last: Callable[[], Awaitable[bool]] = _share_nothing
    spools: Spools | None = None


async def walk(route: Route) -> bool:
    """Carry every row of the query, and every row that left it, from where the run stands to its outcome.

    Gives False where others have still to carry their part of the rows: the last of them ends the run.

    :raises TailraceError: why it stopped; what was settled before stays settled, the rest will be read again.
    """
    reads_rows = route.kept_rows is None and route.start.phase is Phase.ROWS
    walked = await _walk_rows(route) if reads_rows else None
    await route.leave_warehouse()
    if route.kept_rows is not None:
        changes = diff(kept(route.kept_rows()), route.snapshot.entries(after=route.start.after))
        await deliver_and_settle(batch(changes, route.recipe, route.start), route.flight)
    if not await route.is_last():
        return False
    if walked is not None and route.only is None:
        await _end_reading(route, walked.cursor)
    if route.delete_plan is not None:
        await _walk_deletes(route, route.delete_plan, walked and walked.columns)
    return True


class _Walked(NamedTuple):
    """What a query was found to have: its columns, and the cursor of the sync among them."""

    columns: Sequence[Column]
    cursor: CursorColumn | None


async def _walk_rows(route: Route) -> _Walked:
    """All rows of the query, as far as the run is to read them."""
    definition = route.definition if route.only is None else by_key(route.definition)
    check_readable(definition, route.warehouse)
    with closing(Belt(route.spools, route.recipe.sends)) as belt:
        async with side_by_side() as tasks:
            walked = await _read(route, definition, belt, tasks)
            await route.leave_warehouse()
    return walked


async def _read(route: Route, definition: SyncDefinition, belt: Belt, tasks: asyncio.TaskGroup) -> _Walked:
    """Read all of the query, while a task delivers what was read so far."""
    async with AsyncExitStack() as stack:
        async with route.flight.tenure.ending():
            columns = await route.columns.of(route.warehouse, definition)
            mapper = Mapper(definition, columns, route.start, route.accepted)
            recipe = await _recipe(route, mapper.order)
            reading = replace(what_to_read(recipe, mapper.order, definition, route.start), until=route.until)
            if route.only is not None:
                reading = reading_of_some(definition, route.only, route.start)
            failpoint("exec.before_first_read")
            cursor = order_of(route.definition, columns).cursor
            view = await _hashed(route, reading, mapper, columns, stack)
            changes = (
                await _changes(route, reading, mapper, cursor, stack)
                if view is None
                else _changes_by_hashes(route, view, mapper, stack)
            )
        tasks.create_task(deliver_and_settle(batch(belt.changes(), recipe, route.start), route.flight))
        await belt.carry(changes)
    return _Walked(columns, cursor)


Changes = AsyncIterator[Sequence[RowChange]]


async def _changes(
    route: Route, reading: Reading, mapper: Mapper, cursor: CursorColumn | None, stack: AsyncExitStack
) -> Changes:
    """What happened to the rows of a reading, all of which are read."""
    blocks = await stack.enter_async_context(route.warehouse.read(reading))
    if route.only is not None and cursor is not None:
        blocks = newest_of_each(blocks, cursor)
    else:
        await mapper.heed(_not_read(route))
    known = route.snapshot.entries(after=route.start.after)
    if Change.UNCHANGED in route.recipe.sends:
        return diff(map_fields(blocks, mapper), known)
    return sift(blocks, mapper, known)


async def _not_read(route: Route) -> AsyncIterator[Sequence[Entry]]:
    """What is known of the rows that a replay, or a run that goes on, leaves out."""
    after = route.start.after
    if route.only is not None:
        own = {*route.only}
        async for entries in route.snapshot.all_entries():
            yield [entry for entry in entries if entry.key not in own]
    elif after is not None:
        await route.snapshot.merge()
        async for entries in route.snapshot.all_entries():
            yield [entry for entry in entries if entry.key <= after]
            if entries and entries[-1].key > after:
                return


def _changes_by_hashes(route: Route, view: HashedRows, mapper: Mapper, stack: AsyncExitStack) -> Changes:
    """The same, where rows that are known by their hashes are not read, and hashes of the others are learnt."""
    known = Known(route.snapshot.entries(after=route.start.after))
    may_skip = Change.UNCHANGED not in route.recipe.sends
    return Sieve(view, mapper, known, route.start.after).changes(stack, may_skip=may_skip)


async def _hashed(
    route: Route, reading: Reading, mapper: Mapper, columns: Sequence[Column], stack: AsyncExitStack
) -> HashedRows | None:
    """The rows of a reading as the warehouse hashes them; None where it cannot, or hashes would be of no use."""
    definition, warehouse = route.definition, route.warehouse
    is_of_use = mapper.order.is_by_key and route.only is None and not definition.resend
    # Rows whose keys may become one have to be seen, all of them, to be told apart.
    is_of_use = is_of_use and not keys_may_meet(definition, route.accepted, columns)
    if not is_of_use or definition.sync_mode is SyncMode.APPEND or not isinstance(warehouse, HashesRows):
        return None
    name = await warehouse.row_hash(is_asked_for=definition.version_column is not None)
    if name is None:
        return None
    hashing = hashing_of(definition, columns, route.accepted, name)
    return await stack.enter_async_context(warehouse.compare(reading, hashing))


async def _recipe(route: Route, order: Order) -> Recipe:
    """The recipe with what the watermark says; a full run begins by having none.

    Where it sends all rows, it knows none either: if it breaks off, the next run has to send all behind that place, or
    it would pass over a version in the look-back that comes behind an older one which was sent again.
    """
    if route.definition.cursor is None:
        return route.recipe
    if order.cursor is None:
        return replace(route.recipe, by_cursor=True)
    if route.start == Position():
        is_odd = is_of_another_kind(await route.snapshot.watermark(), order.cursor, route.recipe.mode)
        if is_odd or route.recipe.kind is RunKind.FULL:
            sends_all = Change.UNCHANGED in sent_changes(route.recipe.mode, RunKind.FULL)
            await route.snapshot.begin_anew(forget_rows=is_odd or sends_all)
    return watched(route.recipe, order, await route.snapshot.watermark(), route.start)


async def _end_reading(route: Route, cursor: CursorColumn | None) -> None:
    """Everything there is to read was read and settled."""
    if route.close_mended is not None:
        # By a cursor, of rows with a key only the newer ones are read.
        with_key = {DUPLICATE_KEY, KEY_TOO_LONG, NUL_IN_KEY}
        await route.close_mended(sorted(CODES_OF_QUERIES - with_key if cursor is not None else CODES_OF_QUERIES))
    if cursor is not None:
        await _forget_what_is_behind(route, cursor)


async def _forget_what_is_behind(route: Route, cursor: CursorColumn) -> None:
    """Keep what is known of the rows that the next run reads again, and of no others."""
    await route.snapshot.merge()
    watermark = await route.snapshot.watermark()
    if watermark.value is not None:
        await route.snapshot.forget_before(cursor.before(watermark.value))


async def _walk_deletes(route: Route, plan: WritePlan, columns: Sequence[Column] | None) -> None:
    """Delete what is marked as gone; a run that stands in this phase has passed the guard, and not seen the columns."""
    start = route.start
    if start.phase is Phase.ROWS:
        await route.snapshot.merge()
        ratio = route.definition.max_delete_ratio
        check_deletes(await route.snapshot.census(), ratio, confirmed=route.deletes_confirmed)
        start = Position(phase=Phase.DELETES)
    flight = replace(route.flight, deliverer=replace(route.flight.deliverer, plan=plan))
    may_meet = columns is None or keys_may_meet(route.definition, route.accepted, columns)
    living = route.snapshot.all_entries if may_meet or plan.identity_of else None
    marked = route.snapshot.gone(after=start.after)
    gone = deletes(marked, plan.target.key_fields, living, plan.identity_of or canonical)
    await deliver_and_settle(batch(gone, replace(route.recipe, plan=plan), start), flight)
