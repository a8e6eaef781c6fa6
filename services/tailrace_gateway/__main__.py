"""Runs the gateway."""

import asyncio
from contextlib import suppress

from tailrace.core.errors import StoreUnavailable
from tailrace.runtime.http import AiohttpClient
from tailrace.runtime.lifecycle import main
from tailrace.runtime.rounds import go_round
from tailrace.runtime.service import Chassis, Service
from tailrace.store.audit_chain import AuditChain
from tailrace.store.key_rotation import check_keys_of_tokens
from tailrace_gateway.app import make_app
from tailrace_gateway.forwarding import Proxies
from tailrace_gateway.listening import listening
from tailrace_gateway.routes import ROUTES
from tailrace_gateway.stores import open_stores
from tailrace_gateway.throttle import Pace, Throttle
from tailrace_gateway.upkeep import upkeep


async def serve(chassis: Chassis) -> None:
    """Answer requests until stopped; then take no new ones and finish those under way.

    :raises Invalid: the secret key is not the one that tokens are good with.
    """
    await check_keys_of_tokens(chassis.database, chassis.box)
    async with AiohttpClient.open(allow_private=chassis.settings.allow_private_destinations) as http:
        stores = open_stores(chassis, http)
        pace = Pace(chassis.settings.calls_per_s, chassis.settings.calls_burst)
        throttle, platform_token = Throttle(pace, chassis.clock), chassis.settings.platform_token
        proxies = Proxies.of(chassis.settings)
        app = make_app(stores, ROUTES, throttle=throttle, platform_token=platform_token, proxies=proxies)
        # What is not opened in time is opened by whoever asks for it.
        with suppress(StoreUnavailable, TimeoutError):
            async with asyncio.timeout(chassis.settings.database_acquire_s):
                await chassis.database.open_all()
        async with listening(app, chassis.settings), asyncio.TaskGroup() as tasks:
            chassis.health.opened(service.name)
            for wanted in upkeep(stores, AuditChain(chassis.database, chassis.box)):
                tasks.create_task(go_round(wanted, chassis.health, chassis.stopping))
            await chassis.stopping.wait()


service = Service("gateway", serve, listens=True)

if __name__ == "__main__":
    main(service)
