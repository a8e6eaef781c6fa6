"""Step 0 of a row: what of the query is read, and from where on."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Protocol

from tailrace.connector_kit.warehouse import Cursor, Reading, Warehouse
from tailrace.core.errors import SourceInvalid
from tailrace.core.readings import SnapshotReading
from tailrace.core.rows import Block, ColumnKind, Row, RowKey
from tailrace.core.runs import RunKind
from tailrace.core.settlements import KeptRow, Position
from tailrace.core.snapshots import hash_row
from tailrace.core.syncs import SyncDefinition, SyncMode
from tailrace.core.watermarks import Watermark, is_of_kind, readable, sortable, sortable_moment
from tailrace.pipeline.batch import Recipe
from tailrace.pipeline.places import CursorColumn, Order
from tailrace.pipeline.plain import MappedRow

_Placed = tuple[str, tuple[object, ...], RowKey | None]
"""The place of a row by the cursor, the row and its key."""


class Watched(Protocol):
    """The watermark of a sync, and what is known of the rows that its next run reads again."""

    async def watermark(self) -> Watermark:
        """How far earlier runs, and this one, have settled all rows."""
        ...

    async def begin_anew(self, *, forget_rows: bool) -> None:
        """Have no watermark, and know no row if that is asked for too."""
        ...

    async def forget_before(self, value: str) -> None:
        """Forget rows whose cursor was below a value."""
        ...


def check_readable(definition: SyncDefinition, warehouse: Warehouse) -> None:
    """Return if the warehouse can read what the sync asks for.

    :raises SourceInvalid: `READING_UNSUPPORTED`.
    """
    if warehouse.has_cursors or (definition.cursor is None and definition.key_columns):
        return
    raise SourceInvalid(
        f"{warehouse.label} cannot be read by a cursor, or without a key, yet: read by snapshot, with a key",
        code="READING_UNSUPPORTED",
    )


def by_key(definition: SyncDefinition) -> SyncDefinition:
    """The sync as it reads rows whose keys are given, wherever their cursor stands."""
    return definition.model_copy(update={"reading": SnapshotReading()})


def what_to_read(recipe: Recipe, order: Order, definition: SyncDefinition, start: Position) -> Reading:
    """All of the query behind the start; by a cursor, what is above the watermark of the recipe less the look-back."""
    after = None if start.after is None else order.key_behind(start.after)
    if order.cursor is None:
        return Reading(definition.source_query, definition.key_columns, after=after)
    if start.after is not None:
        since = order.value_at(start.after)
    elif recipe.since is not None:
        since = readable(order.cursor.kind, order.cursor.before(recipe.since))
    else:
        since = None
    cursor = Cursor(order.cursor.name, since)
    return Reading(definition.source_query, definition.key_columns, after=after, cursor=cursor)


def watched(recipe: Recipe, order: Order, watermark: Watermark, start: Position) -> Recipe:
    """The recipe of a run that reads by a cursor; a full one has no watermark to begin at."""
    # Values of the future would hide all rows to come behind the watermark.
    is_time = order.cursor is not None and order.cursor.kind is ColumnKind.TIMESTAMP
    latest = sortable_moment(watermark.looked_at) if is_time else None
    if start.after is not None and watermark.value is not None:
        # Rows may have been committed late behind this place meanwhile: the next run has to look back from here.
        latest = watermark.value
    since = None if recipe.kind is RunKind.FULL else watermark.value
    return replace(recipe, by_cursor=True, since=since, latest=latest)


def is_of_another_kind(watermark: Watermark, cursor: CursorColumn, mode: SyncMode) -> bool:
    """Whether the cursor holds numbers where it held times, or the other way round: no watermark is above its values.

    :raises SourceInvalid: `CURSOR_TYPE_CHANGED`, in a mode that would add all rows a second time.
    """
    if watermark.value is None or is_of_kind(cursor.kind, watermark.value):
        return False
    if mode in {SyncMode.INSERT, SyncMode.APPEND}:
        raise SourceInvalid(
            f"the cursor {cursor.name!r} is of kind {cursor.kind}, and all that was added is told by another kind: "
            "cast it back in the query, or begin with a new sync",
            code="CURSOR_TYPE_CHANGED",
        )
    return True


def reading_of_some(definition: SyncDefinition, keys: Sequence[RowKey], start: Position) -> Reading:
    """The rows of some keys, as far as they stand behind the start."""
    wanted = [key for key in keys if start.after is None or key > start.after]
    return Reading(definition.source_query, definition.key_columns, only=wanted)


async def newest_of_each(blocks: AsyncIterator[Block], cursor: CursorColumn) -> AsyncIterator[Block]:
    """Of rows in the order of their keys, the one of each key whose cursor is highest: what a replay has to send."""
    held: _Placed | None = None
    async for block in blocks:
        newest: list[_Placed] = []
        for values, key in zip(block.rows, block.keys, strict=True):
            value = values[cursor.index]
            place = "" if value is None else sortable(cursor.kind, value)
            if held is not None and held[2] != key:
                newest.append(held)
            elif held is not None and held[0] >= place:
                continue
            held = place, values, key
        yield _block(newest)
    yield _block([] if held is None else [held])


def _block(rows: Sequence[_Placed]) -> Block:
    return Block([values for _, values, _ in rows], [key for _, _, key in rows])


async def kept(rows: AsyncIterator[Sequence[KeptRow]]) -> AsyncIterator[list[MappedRow]]:
    """Rows as dead letters keep them."""
    async for some in rows:
        yield [_kept(row) for row in some]


def _kept(row: KeptRow) -> MappedRow:
    sent = Row(row.row_key, row.payload, hash_row(row.payload))
    return MappedRow(sent, RowKey((row.dedupe_key.hex(),)), row.dedupe_key)
