"""The gateway behind the very server that it is deployed with, limits and all."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tailrace_gateway.app import make_app
from tailrace_gateway.listening import HEAD_S, listening
from tailrace_gateway.routes import ROUTES
from tests.gateway.conftest import Gateway


@asynccontextmanager
async def served(gateway: Gateway, *, head_s: float = HEAD_S) -> AsyncIterator[int]:
    """The same gateway at another port, which is given."""
    settings = gateway.chassis.settings.model_copy(update={"port": 0})
    async with listening(make_app(gateway.stores, ROUTES), settings, head_s=head_s) as port:
        yield port
