"""Runs the gateway."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from aiohttp import web

from tailrace.core.errors import Invalid
from tailrace.runtime.http import AiohttpClient
from tailrace.runtime.lifecycle import main
from tailrace.runtime.service import Chassis, Service
from tailrace.runtime.settings import Settings
from tailrace_gateway.app import make_app
from tailrace_gateway.pruning import prune_keys
from tailrace_gateway.routes import ROUTES
from tailrace_gateway.stores import open_stores
from tailrace_gateway.throttle import Pace, Throttle

_DRAIN_SHARE = 0.8
_KEEP_ALIVE_S = 75.0
_LINE_SIZE_BYTES = 8190

log = structlog.get_logger(__name__)


async def serve(chassis: Chassis) -> None:
    """Answer requests until stopped; then take no new ones and finish those under way."""
    async with AiohttpClient.open(allow_private=chassis.settings.allow_private_destinations) as http:
        stores = open_stores(chassis, http)
        pace = Pace(chassis.settings.calls_per_s, chassis.settings.calls_burst)
        app = make_app(stores, ROUTES, throttle=Throttle(pace, chassis.clock))
        async with _listening(app, chassis.settings), asyncio.TaskGroup() as tasks:
            pruning = tasks.create_task(prune_keys(stores.idempotency, chassis.health))
            await chassis.stopping.wait()
            pruning.cancel()


@asynccontextmanager
async def _listening(app: web.Application, settings: Settings) -> AsyncIterator[None]:
    """Requests are taken for as long as the scope lasts; leaving it waits for those under way."""
    runner = web.AppRunner(
        app,
        access_log=None,
        keepalive_timeout=_KEEP_ALIVE_S,
        shutdown_timeout=settings.shutdown_grace_s * _DRAIN_SHARE,
        max_line_size=_LINE_SIZE_BYTES,
        max_field_size=_LINE_SIZE_BYTES,
    )
    await runner.setup()
    try:
        await _listen(runner, settings)
        yield
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, settings: Settings) -> None:
    site = web.TCPSite(runner, settings.host, settings.port)
    try:
        await site.start()
    except OSError as error:
        raise Invalid(
            f"cannot listen on {settings.host}:{settings.port} ({error.strerror}): set TAILRACE_HOST and TAILRACE_PORT"
        ) from error
    log.info("gateway.opened", port=runner.addresses[0][1])


service = Service("gateway", serve)

if __name__ == "__main__":
    main(service)
