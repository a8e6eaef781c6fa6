"""A service that takes batches by HTTP, writes each row down before it answers, and refuses what it is told to."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

Row = dict[str, Any]


@dataclass
class Sink:
    """What arrived. `is_bad` picks the rows to reject; while `status` is not 200, every batch is answered with it."""

    url: str = ""
    rows: list[Row] = field(default_factory=list)
    requests: int = 0
    status: int = 200
    delay_s: float = 0.0
    is_bad: Callable[[Row], bool] = lambda _: False
    was_asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        """Answer one batch."""
        batch = await request.json()
        self.requests += 1
        results = [self._result(row) for row in batch["rows"]] if self.status == 200 else []
        self.was_asked.set()
        await asyncio.sleep(self.delay_s)
        return web.json_response({"results": results}, status=self.status)

    @property
    def times_by_id(self) -> Counter[int]:
        """How often each row was taken."""
        return Counter(row["id"] for row in self.rows)

    def _result(self, row: Row) -> dict[str, str]:
        if self.is_bad(row):
            return {"status": "rejected", "code": "INVALID_EMAIL", "message": "bad format for field email"}
        self.rows.append(row)
        return {"status": "ok"}


@asynccontextmanager
async def open_sink() -> AsyncIterator[Sink]:
    """A sink that listens on loopback."""
    sink = Sink()
    app = web.Application(client_max_size=1 << 26)
    app.router.add_post("/rows", sink.take)
    async with TestServer(app) as server:
        sink.url = str(server.make_url("/rows"))
        yield sink
