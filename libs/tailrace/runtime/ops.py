"""What operators and orchestrators ask a process: /livez, /readyz and /metrics, on a port of their own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
from aiohttp import web

from tailrace.core.errors import Invalid
from tailrace.observe.metrics import CONTENT_TYPE, exposition
from tailrace.runtime.health import Health, Report
from tailrace.runtime.settings import Settings

_DRAIN_S = 1.0
_NOT_CACHED = {"Cache-Control": "no-store"}


@asynccontextmanager
async def serve_ops(health: Health, settings: Settings) -> AsyncIterator[int]:
    """The three pages for as long as the scope lasts; gives the port.

    :raises Invalid: the address is taken or not ours.
    """
    runner = web.AppRunner(_app(health), access_log=None, shutdown_timeout=_DRAIN_S, keepalive_timeout=15)
    await runner.setup()
    try:
        yield await _listen(runner, settings.ops_host, settings.ops_port)
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, host: str, port: int) -> int:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise Invalid(
            f"cannot listen on {host}:{port} ({error.strerror}): set TAILRACE_OPS_HOST and TAILRACE_OPS_PORT"
        ) from error
    return int(runner.addresses[0][1])


def _app(health: Health) -> web.Application:
    async def livez(_request: web.Request) -> web.Response:
        return _answer(health.live())

    async def readyz(_request: web.Request) -> web.Response:
        return _answer(await health.ready())

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=exposition(), headers={"Content-Type": CONTENT_TYPE})

    app = web.Application()
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    return app


def _answer(report: Report) -> web.Response:
    body = {"status": _status(report), "checks": dict(report.checks)}
    return web.Response(
        status=200 if report.is_well else 503,
        body=orjson.dumps(body),
        content_type="application/json",
        headers=_NOT_CACHED,
    )


def _status(report: Report) -> str:
    if not report.is_well:
        return "unavailable"
    return "degraded" if report.is_degraded else "ok"
