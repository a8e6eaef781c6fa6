"""A destination that writes each row into its ledger before it answers, and keeps the table that the rows make."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from tailrace.embedded.ports import LOOPBACK
from tests.faults.behaviours import Behaviour

Row = tuple[int, str]
"""A person: id and address."""

_COMES_WITHIN_S = 90.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """A batch that came, and the rows of it that were taken."""

    at: float
    operation: str
    idempotency_key: str
    rows: Sequence[Row]


@dataclass(slots=True)
class Sink:
    """`unavailable` says which requests, by number, are answered 503; one row in `refused_each` is never taken.

    `script` has another answer for some requests, by number. Of these, the ones in `unheard` change nothing; the rows
    of all others are in the ledger before the answer goes out. A request with one of the `poison` rows is 400 whole.
    """

    url: str = ""
    ledger: list[Arrival] = field(default_factory=list)
    table: dict[int, str] = field(default_factory=dict)
    refused_each: int = 50
    unavailable: range = range(0)
    delay_s: float = 0.0
    requests: int = 0
    asked: list[float] = field(default_factory=list)
    script: dict[int, Behaviour] = field(default_factory=dict)
    unheard: Collection[int] = ()
    poison: Collection[int] = ()
    at_once: int = 0
    most_at_once: int = 0
    _came: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def page(self) -> int:
        """The place behind the newest arrival, to tell later ones from it."""
        return len(self.ledger)

    def rows(self, *, since: int = 0) -> Counter[Row]:
        """What was taken from that page on, and how often."""
        return Counter(row for arrival in self.ledger[since:] for row in arrival.rows)

    def is_refused(self, person: int) -> bool:
        """Whether this row is never taken."""
        return person % self.refused_each == 0

    async def holds(self, rows: int) -> None:
        """Return once so many rows were taken."""
        async with asyncio.timeout(_COMES_WITHIN_S):
            while self.rows().total() < rows:
                self._came.clear()
                await self._came.wait()

    async def take(self, request: web.Request) -> web.StreamResponse:
        """Take a batch, write it down, then answer."""
        batch = orjson.loads(await request.read())
        self.asked.append(time.monotonic())
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self._answer(request, batch)
        finally:
            self.at_once -= 1

    async def _answer(self, request: web.Request, batch: dict[str, Any]) -> web.StreamResponse:
        self.requests += 1
        number, behaviour = self.requests, self.script.get(self.requests)
        rows = [(row["id"], row.get("email", "")) for row in batch["rows"]]
        if number in self.unavailable:
            return web.Response(status=503)
        if any(person in self.poison for person, _ in rows):
            return web.json_response({"message": "one of them is bad"}, status=400)
        right = orjson.dumps({"results": [self._result(row) for row in rows]})
        if number not in self.unheard:
            self._write_down(request, batch["operation"], rows)
            await asyncio.sleep(self.delay_s)
        if behaviour is not None:
            return await behaviour(request, right)
        return web.Response(body=right, content_type="application/json")

    def _write_down(self, request: web.Request, operation: str, rows: Sequence[Row]) -> None:
        taken = [row for row in rows if not self.is_refused(row[0])]
        self.ledger.append(Arrival(time.monotonic(), operation, request.headers["Idempotency-Key"], taken))
        self._apply(operation, taken)
        self._came.set()

    def _apply(self, operation: str, rows: Sequence[Row]) -> None:
        for person, email in rows:
            if operation == "delete":
                self.table.pop(person, None)
            else:
                self.table[person] = email

    def _result(self, row: Row) -> dict[str, Any]:
        if self.is_refused(row[0]):
            return {"status": "rejected", "code": "NOT_TAKEN", "message": "not this one"}
        return {"status": "ok"}


@asynccontextmanager
async def open_sink() -> AsyncIterator[Sink]:
    """A sink on a free port of loopback, for as long as the scope lasts."""
    sink = Sink()
    app = web.Application(client_max_size=1 << 26)
    app.router.add_post("/rows", sink.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, 0).start()
        sink.url = f"http://{LOOPBACK}:{runner.addresses[0][1]}/rows"
        yield sink
    finally:
        await runner.cleanup()
