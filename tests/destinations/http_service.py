"""A service on loopback that takes batches as the HTTP destination sends them, and remembers people."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

REFUSED = {"status": "rejected", "code": "BAD_NAME", "message": "this name is not taken", "field": "name"}


class PeopleService:
    """Upserts, inserts, updates and deletes by id; says per row what it did."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.people: dict[str, dict[str, str | None]] = {}
        self.refused_names: set[str] = set()
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.working: list[web.Request] = []
        self.connections = 0
        self.url = ""

    @asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        app = web.Application(client_max_size=128 * 1024 * 1024)
        app.router.add_route("*", "/{object}", self._answer)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.runner = runner
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield
        finally:
            await runner.cleanup()

    @property
    def connections_open(self) -> int:
        server = self.runner.server
        return len(server.connections) if isinstance(server, web.Server) else 0

    def break_off(self) -> None:
        for request in self.working:
            if request.transport is not None:
                request.transport.abort()

    async def _answer(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.Response(status=401)
        if request.method == "OPTIONS":
            return web.Response(status=204)
        batch = json.loads(await request.read(), parse_int=str, parse_float=str)
        self.working.append(request)
        try:
            await self.is_open.wait()
        finally:
            self.working.remove(request)
        return web.json_response({"results": [self._apply(batch["operation"], row) for row in batch["rows"]]})

    def _apply(self, operation: str, row: dict[str, Any]) -> dict[str, str]:
        exists = row["id"] in self.people
        if operation == "delete":
            self.people.pop(row["id"], None)
        elif row["name"] in self.refused_names:
            return REFUSED
        elif operation == "insert" and exists:
            return {"status": "rejected", "code": "ALREADY_EXISTS", "message": "this id is taken"}
        elif operation == "update" and not exists:
            return {"status": "rejected", "code": "NOT_FOUND", "message": "there is nobody of this id"}
        else:
            self.people[row["id"]] = row
        return {"status": "ok"}
