from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio

from tailrace.connector_kit.registry import destination_type
from tailrace.destinations.postgres import PostgresDestination
from tailrace.testing.destination_contract import DestinationContract
from tailrace.testing.fake_http import FakeHttp
from tests.destinations.postgres_rig import PEOPLE, PostgresRig, settings


@pytest_asyncio.fixture
async def rig(empty_database_url: str) -> AsyncIterator[PostgresRig]:
    admin = await asyncpg.connect(empty_database_url, timeout=10, command_timeout=10)
    await admin.execute(PEOPLE)
    async with PostgresDestination.open(settings(empty_database_url), FakeHttp()) as destination:
        yield PostgresRig(destination, admin, empty_database_url)
    await admin.close(timeout=10)


class TestPostgresDestination(DestinationContract):
    pass


def test_registry_finds_it() -> None:
    assert destination_type("postgres") is PostgresDestination
