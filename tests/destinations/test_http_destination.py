from collections.abc import AsyncIterator

import pytest_asyncio

from tailrace.connector_kit.registry import destination_type
from tailrace.destinations.http import HttpDestination
from tests.destinations.http_rig import SECRET, HttpRig, opened, settings
from tests.destinations.http_service import PeopleService
from tests.destinations.people_rig import PeopleContract


@pytest_asyncio.fixture
async def rig() -> AsyncIterator[HttpRig]:
    service = PeopleService(SECRET)
    async with service.served(), opened(settings(service.url)) as destination:
        yield HttpRig(destination, service)


class TestHttpDestination(PeopleContract):
    pass


def test_registry_finds_it() -> None:
    assert destination_type("http") is HttpDestination
