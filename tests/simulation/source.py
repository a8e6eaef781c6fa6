"""The source at one end of a story: rows that change, are committed late, and get lost on the way."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import blake2b
from typing import Self

from pydantic import BaseModel

from tailrace.connector_kit.warehouse import Cursor, Reading, Warehouse
from tailrace.core.errors import SourceInvalid, SourceUnavailable
from tailrace.core.rows import Block, Column, ColumnKind, RowKey
from tests.simulation.rows import SourceRow, tick_of, value_of
from tests.simulation.world import WORLD, Where, World

_ROWS_PER_BLOCK = 7
_DIGEST_BYTES = 6
_SAMPLED = 0.8


class SimulatedSource(Warehouse):
    """Rows of (id, name, at); one read sees one version of them."""

    name = "simulated"
    label = "Simulated"
    settings_type = Where
    has_cursors = True
    reads_up_to_a_key = True

    def __init__(self, world: World, place: str) -> None:
        self._world = world
        self._place = place
        self._kind = world.kinds[place]

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: BaseModel) -> AsyncIterator[Self]:
        assert isinstance(settings, Where)
        yield cls(WORLD[id(asyncio.get_running_loop())], settings.place)

    async def check(self) -> None:
        return

    async def columns(self, query: str) -> Sequence[Column]:
        await self._weather()
        return (Column("id", ColumnKind.TEXT), Column("name", ColumnKind.TEXT), Column("at", self._kind))

    async def rows_about(self, query: str) -> int:
        """As the statistics of a table have it: wrong."""
        await self._weather()
        return int(len(self._world.sources[self._place]) * self._world.sharing.uniform(0.5, 2.0))

    async def key_sample(self, reading: Reading, *, part: float) -> Sequence[RowKey]:
        """Most of the keys."""
        await self._weather()
        keys = (_key(row, reading) for row in self._world.sources[self._place])
        return [key for key in keys if key is not None and self._world.sharing.random() < _SAMPLED * part]

    @asynccontextmanager
    async def read(self, reading: Reading) -> AsyncIterator[AsyncIterator[Block]]:
        yield self._blocks(list(self._world.sources[self._place]), reading)

    async def _blocks(self, rows: Sequence[SourceRow], reading: Reading) -> AsyncIterator[Block]:
        placed = sorted(rows, key=lambda row: _place(row, reading))
        wanted = [row for row in placed if self._is_wanted(row, reading)]
        for at in range(0, len(wanted), _ROWS_PER_BLOCK):
            await self._weather()
            await asyncio.sleep(self._world.block_s)
            some = wanted[at : at + _ROWS_PER_BLOCK]
            yield Block(
                [(row.key, row.name, value_of(self._kind, row.at)) for row in some],
                [_key(row, reading) for row in some],
            )

    def _is_wanted(self, row: SourceRow, reading: Reading) -> bool:
        has_no_place, at, _, key, _ = _place(row, reading)
        if reading.only is not None:
            return (row.key,) in reading.only
        if reading.until is not None and (row.key is None or (row.key,) > reading.until):
            return False
        if has_no_place:
            return True
        since = self._since(reading.cursor)
        if reading.after is None:
            return since is None or at >= since
        here, last = (at, key), (at if since is None else since, reading.after)
        return here > last if reading.key_columns else here >= last

    def _since(self, cursor: Cursor | None) -> float | None:
        """The tick that a reading begins at."""
        if cursor is None or cursor.since is None:
            return None
        return tick_of(self._kind, cursor.since)

    async def _weather(self) -> None:
        await asyncio.sleep(self._world.chance.uniform(0.0, 0.05))
        weather = self._world.weather
        match self._world.luck(weather.source_lost, weather.source_refuses):
            case 0:
                raise SourceUnavailable("the source is lost")
            case 1:
                raise SourceInvalid("the columns changed", code="SCHEMA_CHANGED")


_Place = tuple[bool, int, bool, RowKey, tuple[str, str]]
"""What rows are sorted by: those without a place last, then the cursor, then the key."""


def _place(row: SourceRow, reading: Reading) -> _Place:
    key = _key(row, reading)
    has_no_place = key is None or (reading.cursor is not None and row.at is None)
    at = 0 if has_no_place or reading.cursor is None or row.at is None else row.at
    return has_no_place, at, key is None, key or RowKey(()), row.tie


def _key(row: SourceRow, reading: Reading) -> RowKey | None:
    if not reading.key_columns:
        return RowKey((blake2b(repr(tuple(row)).encode(), digest_size=_DIGEST_BYTES).hexdigest(),))
    return None if row.key is None else RowKey((row.key,))
