"""HTTP for the contract of destinations: real requests over loopback."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from tailrace.connector_kit.destination import Destination
from tailrace.connector_kit.registry import validate_settings
from tailrace.destinations.http import HttpDestination, HttpSettings
from tailrace.runtime.http import AiohttpClient
from tests.destinations.people_rig import PeopleRig

SECRET = "s3cr3t-canary-5512"


class HttpRig(PeopleRig):
    secret = SECRET

    def opened(self, url: str, *, knows_us: bool = True) -> AbstractAsyncContextManager[Destination]:
        return opened(settings(url, bearer_token=SECRET if knows_us else SECRET + "-old"))


@asynccontextmanager
async def opened(settings: HttpSettings) -> AsyncIterator[Destination]:
    async with AiohttpClient.open(allow_private=True) as http, HttpDestination.open(settings, http) as destination:
        yield destination


def settings(url: str, **options: object) -> HttpSettings:
    given = {"url": f"{url}/{{object}}", "bearer_token": SECRET, "objects": ["people"], **options}
    return validate_settings(HttpSettings, given)
