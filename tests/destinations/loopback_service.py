"""A vendor on loopback that may be stalled, broken off and looked into; each one says what it answers."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from aiohttp import web

from tailrace.connector_kit.http import HttpClient, HttpRequest, HttpResponse


class LoopbackService(ABC):
    """Answers every request; those that write wait while it is stalled."""

    def __init__(self) -> None:
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.working: list[web.Request] = []
        self.url = ""

    @abstractmethod
    async def answer(self, request: web.Request) -> web.Response:
        """The answer to a request."""

    @asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        app = web.Application(client_max_size=128 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self.answer)
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

    async def turn(self, request: web.Request) -> None:
        """Let a write wait for its turn."""
        self.working.append(request)
        try:
            await self.is_open.wait()
        finally:
            self.working.remove(request)


class Rerouted(HttpClient):
    """Sends what is meant for a vendor to the service that stands in for it."""

    def __init__(self, http: HttpClient, url: str, *origins: str) -> None:
        self._http = http
        self._url = url
        self._origins = origins

    async def send(self, request: HttpRequest) -> HttpResponse:
        url = request.url
        for origin in self._origins:
            url = url.replace(origin, self._url)
        return await self._http.send(replace(request, url=url))
