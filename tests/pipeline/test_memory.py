"""What waits for its destination is held by the thousand: it takes no more memory than there is in it."""

import asyncio
import sys
import tracemalloc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pytest

from tailrace.connector_kit.destination import WritePlan
from tailrace.core.batches import Batch, BatchResult
from tailrace.core.readings import AnyReading, CursorReading, SnapshotReading
from tailrace.core.rows import Block, Column, ColumnKind, RowKey
from tailrace.core.settlements import Position
from tailrace.core.syncs import FieldMapping, SyncDefinition, SyncMode
from tailrace.pipeline.map_fields import Mapper
from tailrace.pipeline.plain import MappedRow
from tests.pipeline.world import MemoryDestination, World

ROWS = 500
COLUMNS = [Column("id", ColumnKind.TEXT), Column("name", ColumnKind.TEXT), Column("at", ColumnKind.INTEGER)]
FIELDS: Sequence[Mapping[str, object]] = [
    {"source": "id", "destination": "id", "key": True},
    {"source": "name", "destination": "name"},
]
TEMPLATE = {"template": "{{ name | upcase }}", "destination": "line"}
SNAPSHOT = SnapshotReading()
CURSOR = CursorReading(type="cursor", column="at")
UNFIT = "\ud800"
"""What JSON cannot hold."""

_OF_A_ROW_BY_CURSOR = 1200
"""Bytes beside its body, which has 200: key, place, hash, and the objects that carry them."""


class SilentDestination(MemoryDestination):
    """Never answers."""

    async def write(self, plan: WritePlan, batch: Batch) -> BatchResult:
        await asyncio.Event().wait()
        return await super().write(plan, batch)


@contextmanager
def traced() -> Iterator[None]:
    """A scope in which Python accounts for what it allocates."""
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


def mapper(reading: AnyReading, *more: Mapping[str, object]) -> Mapper:
    definition = SyncDefinition(
        source_id="s",
        source_query="SELECT",
        destination_id="d",
        object_name="o",
        field_mappings=tuple(FieldMapping.model_validate(each) for each in (*FIELDS, *more)),
        sync_mode=SyncMode.UPSERT,
        reading=reading,
    )
    return Mapper(definition, COLUMNS, Position())


def block(first: int, key: str, name: str) -> Block:
    """Rows whose keys go on from a number, all of one name."""
    numbers = range(first, first + ROWS)
    keys = [key.format(number) for number in numbers]
    values = [(text, name, number) for text, number in zip(keys, numbers, strict=True)]
    return Block(values, [RowKey((text,)) for text in keys])


def bodies_and_records(rows: Sequence[MappedRow]) -> list[bytes]:
    return [part for one in rows for part in (one.row.body, one.written) if part is not None]


@pytest.mark.parametrize("letters", [150, 1500, 6000])
@pytest.mark.parametrize(
    ("made", "key", "text"),
    [
        pytest.param(mapper(SNAPSHOT), "k{:05}", "x", id="by snapshot"),
        pytest.param(mapper(CURSOR), "k{:05}", "x", id="by cursor"),
        pytest.param(mapper(SNAPSHOT), "{}", "x", id="key kept as it was written"),
        pytest.param(mapper(SNAPSHOT, TEMPLATE), "k{:05}", "x", id="template"),
        pytest.param(mapper(SNAPSHOT), "k{:05}", UNFIT, id="unfit"),
        pytest.param(mapper(SNAPSHOT, TEMPLATE), "k{:05}", UNFIT, id="unfit for a template"),
    ],
)
def test_body_takes_no_more_memory_than_its_bytes(made: Mapper, key: str, text: str, letters: int) -> None:
    made.map_block(block(0, key, text * letters))
    following = block(ROWS, key, text * letters)

    with traced():
        kept = bodies_and_records(made.map_block(following))
        held_bytes, _ = tracemalloc.get_traced_memory()

    assert len(kept) >= ROWS
    assert held_bytes < 1.2 * sum(map(sys.getsizeof, [*kept, kept]))


async def test_window_of_rows_by_a_cursor_is_held_in_little_memory() -> None:
    rows: list[tuple[str | None, str]] = [(f"k{at:05}", "x" * 180 + f"@{at}") for at in range(8 * ROWS)]
    world = World(rows, SilentDestination(), reading=CURSOR, window_rows=len(rows))

    with traced():
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            running = tasks.create_task(world.run())
            await world.warehouse.was_read.wait()
            held_bytes, _ = tracemalloc.get_traced_memory()
            running.cancel()

    assert held_bytes < len(rows) * (200 + _OF_A_ROW_BY_CURSOR)
