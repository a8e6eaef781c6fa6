"""HTTP for the contract of destinations: real requests over loopback."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from tailrace.connector_kit.destination import Destination
from tailrace.connector_kit.registry import validate_settings
from tailrace.destinations.http import HttpDestination, HttpSettings
from tailrace.runtime.http import AiohttpClient
from tailrace.testing.destination_contract import DestinationRig, Person
from tests.destinations.http_service import PeopleService

SECRET = "s3cr3t-canary-5512"


class HttpRig(DestinationRig):
    object_name = "people"
    secret = SECRET

    def __init__(self, destination: Destination, service: PeopleService) -> None:
        self.destination = destination
        self.service = service

    async def people(self) -> Mapping[str, Person]:
        return dict(self.service.people)

    async def refuse(self, name: str) -> None:
        self.service.refused_names.add(name)

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

    @asynccontextmanager
    async def another(self) -> AsyncIterator[Destination]:
        async with opened(settings(self.service.url)) as destination:
            yield destination

    async def break_off(self) -> None:
        self.service.break_off()

    def unreachable(self) -> AbstractAsyncContextManager[Destination]:
        return opened(settings("http://127.0.0.1:1"))

    def unauthorized(self) -> AbstractAsyncContextManager[Destination]:
        return opened(settings(self.service.url, bearer_token=SECRET + "-old"))


@asynccontextmanager
async def opened(settings: HttpSettings) -> AsyncIterator[Destination]:
    async with AiohttpClient.open(allow_private=True) as http, HttpDestination.open(settings, http) as destination:
        yield destination


def settings(url: str, **options: object) -> HttpSettings:
    given = {"url": f"{url}/{{object}}", "bearer_token": SECRET, "objects": ["people"], **options}
    return validate_settings(HttpSettings, given)
