"""A service that takes batches by HTTP, writes each row down before it answers, and refuses what it is told to."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

Row = dict[str, Any]

_TAKEN = 3


@dataclass
class Sink:
    """What arrived.

    `is_bad` picks the rows to reject, with `code`; while `status` is not 200, every batch is answered with it. From the
    request numbered `fails_from` on, it is out of order. A sink that is
    `busy_for_s` takes nothing after its third request until that time has passed. Answers wait until `may_answer`.
    One that `heeds_keys` gives a batch whose `Idempotency-Key` it knows the answer of then, and does nothing.
    """

    url: str = ""
    rows: list[Row] = field(default_factory=list)
    requests: int = 0
    status: int = 200
    fails_from: int | None = None
    delay_s: float = 0.0
    busy_for_s: float = 0.0
    asked_at: list[float] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    is_bad: Callable[[Row], bool] = lambda _: False
    code: str = "INVALID_EMAIL"
    was_asked: asyncio.Event = field(default_factory=asyncio.Event)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    heeds_keys: bool = False
    results: dict[str, list[dict[str, str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.may_answer.set()

    async def take(self, request: web.Request) -> web.Response:
        """Answer one batch."""
        batch = await request.json()
        self.requests += 1
        self.asked_at.append(time.monotonic())
        with self._counted():
            if self._is_busy:
                return web.Response(status=429, headers={"Retry-After": f"{self.busy_for_s:.0f}"})
            if self.fails_from is not None and self.requests >= self.fails_from:
                return web.Response(status=503)
            results = self._results(request.headers["Idempotency-Key"], batch["rows"]) if self.status == 200 else []
            self.was_asked.set()
            await self.may_answer.wait()
            await asyncio.sleep(self.delay_s)
            return web.json_response({"results": results}, status=self.status)

    def _results(self, key: str, rows: list[Row]) -> list[dict[str, str]]:
        if key not in self.results or not self.heeds_keys:
            self.results[key] = [self._result(row) for row in rows]
        return self.results[key]

    async def count_in_flight(self) -> int:
        """How many callers wait for an answer."""
        return self.in_flight

    @property
    def times_by_id(self) -> Counter[int]:
        """How often each row was taken."""
        return Counter(row["id"] for row in self.rows)

    @property
    def _is_busy(self) -> bool:
        if self.requests <= _TAKEN or not self.busy_for_s:
            return False
        return time.monotonic() < self.asked_at[_TAKEN] + self.busy_for_s

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            yield
        finally:
            self.in_flight -= 1

    def _result(self, row: Row) -> dict[str, str]:
        if self.is_bad(row):
            return {"status": "rejected", "code": self.code, "message": "bad format for field email"}
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
