"""The loops that anybody would write: no outcomes, no limits, nothing kept of what failed."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeAlias

import aiohttp
import asyncpg
import orjson

from tests.bench.ground import changing, connected
from tests.bench.watch import Timed, Watch
from tests.bench.work import IN_FLIGHT, ROWS_PER_REQUEST, Place

Row: TypeAlias = Mapping[str, Any]
Post: TypeAlias = Callable[[Sequence[Row]], Coroutine[None, None, None]]
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_HASH_BYTES = 16
_STATE = "CREATE TABLE naive_state (id bigint PRIMARY KEY, hash bytea NOT NULL)"
_KNOWN = "SELECT id, hash FROM naive_state WHERE id = ANY($1::bigint[])"
_LEARN = """
INSERT INTO naive_state SELECT * FROM unnest($1::bigint[], $2::bytea[])
ON CONFLICT (id) DO UPDATE SET hash = excluded.hash
"""


async def naive(place: Place) -> Timed:
    """All rows, and no state."""
    rows = 0
    async with connected(place.warehouse_url) as warehouse:
        watch = Watch()
        async with _posting(place) as post:
            async for block in _blocks(warehouse, place.query):
                await post(block)
                rows += len(block)
        return watch.stop(rows)


async def naive_again(place: Place) -> Timed:
    """A second run that looks up a hash of each row: 1 % of the rows are changed, and what is gone it does not see."""
    async with (
        connected(place.warehouse_url) as warehouse,
        connected(place.state) as store,
        changing(warehouse, place.table) as copy,
    ):
        await store.execute(_STATE)
        first = await _send_changed(replace(place, table=copy.table), warehouse, store)
        await copy.change()
        timed = await _send_changed(replace(place, table=copy.table), warehouse, store)
    return replace(timed, rows=first.rows)


async def _send_changed(place: Place, warehouse: Connection, store: Connection) -> Timed:
    rows, changed = 0, list[Row]()
    watch = Watch()
    async with _posting(place) as post:
        async for block in _blocks(warehouse, place.query):
            changed += await _changed(block, store)
            rows += len(block)
            while len(changed) >= ROWS_PER_REQUEST:
                await post(changed[:ROWS_PER_REQUEST])
                del changed[:ROWS_PER_REQUEST]
        if changed:
            await post(changed)
    return watch.stop(rows)


async def _changed(block: Sequence[Row], store: Connection) -> Sequence[Row]:
    hashes = {row["id"]: _hash_of(row) for row in block}
    known = {row["id"]: row["hash"] for row in await store.fetch(_KNOWN, list(hashes))}
    changed = [row for row in block if known.get(row["id"]) != hashes[row["id"]]]
    if changed:
        keys = [row["id"] for row in changed]
        await store.execute(_LEARN, keys, [hashes[key] for key in keys])
    return changed


def _hash_of(row: Row) -> bytes:
    return hashlib.blake2b(orjson.dumps(row, default=str), digest_size=_HASH_BYTES).digest()


async def _blocks(warehouse: Connection, query: str) -> AsyncIterator[Sequence[Row]]:
    async with warehouse.transaction(readonly=True):
        cursor = await warehouse.cursor(query)
        while block := await cursor.fetch(ROWS_PER_REQUEST):
            yield [dict(row) for row in block]


@asynccontextmanager
async def _posting(place: Place) -> AsyncIterator[Post]:
    """Posts rows while others are under way; all were answered when the scope is left."""
    room = asyncio.Semaphore(IN_FLIGHT)
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:

        async def send(body: bytes) -> None:
            async with session.post(place.sink_url, data=body) as response:
                await response.read()
            room.release()

        async def post(rows: Sequence[Row]) -> None:
            await room.acquire()
            tasks.create_task(send(orjson.dumps({"rows": rows}, default=str)))

        yield post
