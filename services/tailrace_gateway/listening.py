"""The HTTP server: explicit limits, and an answer of ours also to what is no HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
from aiohttp import web

from tailrace.core.errors import Invalid
from tailrace.runtime.settings import Settings
from tailrace_gateway.app import HEADERS
from tailrace_gateway.problems import problem_of_status

_DRAIN_SHARE = 0.8
_KEEP_ALIVE_S = 75.0
_LINE_SIZE_LIMIT_BYTES = 8190

HEAD_S = 30.0
"""How long a new connection may take to send the head of its first request."""

log = structlog.get_logger(__name__)


@asynccontextmanager
async def listening(app: web.Application, settings: Settings, *, head_s: float = HEAD_S) -> AsyncIterator[int]:
    """Requests are taken at the port given for as long as the scope lasts; leaving it waits for those under way."""
    runner = _Runner(
        app,
        head_s=head_s,
        access_log=None,
        keepalive_timeout=_KEEP_ALIVE_S,
        shutdown_timeout=settings.shutdown_grace_s * _DRAIN_SHARE,
        max_line_size=_LINE_SIZE_LIMIT_BYTES,
        max_field_size=_LINE_SIZE_LIMIT_BYTES,
    )
    await runner.setup()
    try:
        yield await _listen(runner, settings)
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, settings: Settings) -> int:
    site = web.TCPSite(runner, settings.host, settings.port)
    try:
        await site.start()
    except OSError as error:
        raise Invalid(
            f"cannot listen on {settings.host}:{settings.port} ({error.strerror}): set TAILRACE_HOST and TAILRACE_PORT"
        ) from error
    port: int = runner.addresses[0][1]
    log.info("gateway.opened", port=port)
    return port


class _Handler(web.RequestHandler):
    """Answers what it cannot read by a problem; aiohttp's own answer and log line repeat what was sent.

    aiohttp bounds the wait for the next request of a connection, not that for the first.
    """

    __slots__ = ("_head_s",)

    def __init__(self, server: web.Server, *, head_s: float, **options: Any) -> None:  # noqa: ANN401 - aiohttp's own
        super().__init__(server, **options)
        self._head_s = head_s

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._loop.call_later(self._head_s, self._require_request)

    def _require_request(self) -> None:
        if not self._request_count and self.transport is not None:
            self.transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        log.info("request.unreadable", reason=type(exc).__name__)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer is on its way already")
        response = problem_of_status(status, "this is no HTTP request, or one of its lines is too long").response("/")
        response.headers.update(HEADERS)
        response.force_close()
        return response


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        return _Handler(self, loop=self._loop, **self._kwargs)


class _Runner(web.AppRunner):
    def __init__(self, app: web.Application, *, head_s: float, **options: Any) -> None:  # noqa: ANN401 - aiohttp's own
        super().__init__(app, **options)
        self._head_s = head_s

    async def _make_server(self) -> web.Server:
        made: Any = await super()._make_server()
        options = made._kwargs | {"head_s": self._head_s}  # noqa: SLF001 - there is no public way to another handler
        return _Server(made.request_handler, request_factory=made.request_factory, **options)
