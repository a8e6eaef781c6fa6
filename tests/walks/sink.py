"""A destination that takes batches over HTTP and writes each row into its ledger before it answers."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import orjson
from aiohttp import web

from tailrace.embedded.ports import LOOPBACK
from tests.walks.rows import Row, Rows, fingerprint

OBJECT = "flights"
REFUSED = "NOT_TAKEN"

_MOST_BYTES = 1 << 26
_PATH = "/rows"
_COMES_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """A batch that came: when, under which Idempotency-Key, and the fingerprints of the rows that were taken."""

    at: float
    idempotency_key: str
    rows: Sequence[bytes]


@dataclass(slots=True)
class Sink:
    """A destination that listens; `refuses` says of a row whether it is not taken."""

    url: str = ""
    ledger: list[Arrival] = field(default_factory=list)
    refuses: Callable[[Row], bool] = lambda _row: False
    answer: Callable[[], web.Response] | None = None
    _count: int = 0
    _came: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def settings(self) -> dict[str, Any]:
        """What Tailrace has to know to reach it."""
        return {"url": self.url, "requires_results": True}

    @property
    def page(self) -> int:
        """The place behind the newest arrival, to tell later ones from it."""
        return len(self.ledger)

    def rows(self, *, since: int = 0) -> Rows:
        """What was taken, from that page on."""
        return Rows(chain.from_iterable(arrival.rows for arrival in self.ledger[since:]))

    def rows_once_by_key(self) -> Rows:
        """What a destination holds that takes a batch of a known Idempotency-Key for a repeat."""
        batches = {arrival.idempotency_key: arrival.rows for arrival in self.ledger}
        return Rows(chain.from_iterable(batches.values()))

    async def holds(self, rows: int) -> None:
        """Return once so many rows were taken."""
        async with asyncio.timeout(_COMES_WITHIN_S):
            while self._count < rows:
                self._came.clear()
                await self._came.wait()

    async def take(self, request: web.Request) -> web.Response:
        """Take a batch; where `answer` is set, answer that and take nothing."""
        batch = orjson.loads(await request.read())
        if self.answer is not None:
            return self.answer()
        refused = [at for at, row in enumerate(batch["rows"]) if self.refuses(row)]
        taken = [fingerprint(row) for row in batch["rows"] if not self.refuses(row)]
        self.ledger.append(Arrival(time.monotonic(), request.headers["Idempotency-Key"], taken))
        self._count += len(taken)
        self._came.set()
        return web.Response(body=_told(refused), content_type="application/json")


@asynccontextmanager
async def open_sink() -> AsyncIterator[Sink]:
    """A sink on a free port of loopback, for as long as the scope lasts."""
    sink = Sink()
    app = web.Application(client_max_size=_MOST_BYTES)
    app.router.add_post(_PATH, sink.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, 0).start()
        sink.url = f"http://{LOOPBACK}:{runner.addresses[0][1]}{_PATH}"
        yield sink
    finally:
        await runner.cleanup()


def _told(refused: Sequence[int]) -> bytes:
    return orjson.dumps({"errors": [{"index": at, "code": REFUSED, "message": "not this flight"} for at in refused]})
