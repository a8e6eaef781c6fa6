"""The part of a rig that is the same for every vendor on loopback."""

from abc import abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from tailrace.connector_kit.destination import Destination
from tailrace.testing.destination_contract import DestinationRig
from tests.destinations.loopback_service import LoopbackService

NOWHERE = "http://127.0.0.1:1"


class LoopbackRig(DestinationRig):
    service: LoopbackService

    @abstractmethod
    def opened(self, url: str, *, knows_us: bool = True) -> AbstractAsyncContextManager[Destination]:
        """The destination at an address, with credentials that are good there or not."""

    @asynccontextmanager
    async def stalled(self) -> AsyncIterator[None]:
        self.service.is_open.clear()
        try:
            yield
        finally:
            self.service.is_open.set()

    async def writes_open(self) -> int:
        return len(self.service.working)

    async def connections_open(self) -> int:
        return self.service.connections_open

    def another(self) -> AbstractAsyncContextManager[Destination]:
        return self.opened(self.service.url)

    async def break_off(self) -> None:
        self.service.break_off()

    def unreachable(self) -> AbstractAsyncContextManager[Destination]:
        return self.opened(NOWHERE)

    def unauthorized(self) -> AbstractAsyncContextManager[Destination]:
        return self.opened(self.service.url, knows_us=False)
