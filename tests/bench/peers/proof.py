"""What reaches the sink is looked at, row by row, before anything is timed: every row once, with every column."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson
from aiohttp import web

from tailrace.core.errors import Conflict
from tailrace.embedded.ports import LOOPBACK
from tests.bench.ground import Ground
from tests.bench.peers.entrants import forget_runs, run_once
from tests.bench.work import COLUMNS, Place

_ROOM_BYTES = 2**28


@dataclass(slots=True)
class Witness:
    """What came, by id; and how many rows lacked a column or held what is not theirs."""

    times: Counter[object] = field(default_factory=Counter)
    spoilt: int = 0

    def look_at(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Take rows in."""
        for row in rows:
            self.times[row["id"]] += 1
            self.spoilt += not row.keys() >= set(COLUMNS) or row["email"] != f"person{row['id']}@example.com"

    def check(self, name: str, rows: int) -> None:
        """Nothing but the whole table, once.

        :raises Conflict: something else.
        """
        missing, more = rows - len(self.times), self.times.total() - len(self.times)
        if missing or more or self.spoilt:
            raise Conflict(f"{name} delivered {self.spoilt} spoilt rows, {more} more than once, and not {missing}")


async def prove(name: str, ground: Ground) -> None:
    """A first run of it to a witness.

    :raises Conflict: not every row came once and whole.
    :raises Unavailable: it cannot be installed, or it failed.
    """
    witness = Witness()
    await forget_runs(ground)
    with tempfile.TemporaryDirectory() as folder:
        async with _served(witness) as url:
            place = Place(ground.warehouse_url, ground.table, folder, url)
            await asyncio.to_thread(run_once, name, place, ground.rows)
    witness.check(name, ground.rows)


@asynccontextmanager
async def _served(witness: Witness) -> AsyncIterator[str]:
    app = web.Application(client_max_size=_ROOM_BYTES)

    async def take(request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        witness.look_at(body.get("rows", [body]))
        return web.json_response({})

    app.router.add_post("/rows", take)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, LOOPBACK, 0)
        await site.start()
        yield f"http://{LOOPBACK}:{runner.addresses[0][1]}/rows"
    finally:
        await runner.cleanup()
