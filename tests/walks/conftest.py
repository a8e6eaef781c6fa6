"""Installations to walk through: real services on a real PostgreSQL and a real Kafka."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tailrace.testing.kafka_server import KafkaServer
from tests.fixtures.postgres import PostgresServer
from tests.walks.flights import load, open_warehouse
from tests.walks.installation import Installation, Site, install
from tests.walks.listener import Listener, open_listener
from tests.walks.people import People, open_people
from tests.walks.platform import Platform, open_platform
from tests.walks.sink import Sink, open_sink


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def flights_template(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """Name of a database that holds all flights, to copy."""
    async with postgres_server.fresh_database() as name:
        async with open_warehouse(postgres_server.dsn(name)) as warehouse:
            await load(warehouse)
        yield name


@pytest_asyncio.fixture
async def flights_url(postgres_server: PostgresServer, flights_template: str) -> AsyncIterator[str]:
    """Address of a warehouse with all flights, for this test alone."""
    async with postgres_server.fresh_database(template=flights_template) as name:
        yield postgres_server.dsn(name)


@pytest_asyncio.fixture
async def sink() -> AsyncIterator[Sink]:
    """A destination that takes everything."""
    async with open_sink() as opened:
        yield opened


@pytest_asyncio.fixture
async def installation(
    database_url: str, kafka_bootstrap: str, topic_prefix: str, tmp_path: Path
) -> AsyncIterator[Installation]:
    """An installation on the shared Kafka, with no service started."""
    async with install(Site(database_url, kafka_bootstrap, topic_prefix, tmp_path)) as installed:
        yield installed


@pytest_asyncio.fixture
async def installation_on_own_kafka(
    database_url: str, own_kafka: KafkaServer, topic_prefix: str, tmp_path: Path
) -> AsyncIterator[Installation]:
    """An installation on a Kafka that the test may break, with no service started."""
    async with install(Site(database_url, own_kafka.bootstrap, topic_prefix, tmp_path)) as installed:
        yield installed


@pytest_asyncio.fixture
async def listener(installation: Installation) -> AsyncIterator[Listener]:
    """Another service on the same Kafka."""
    async with open_listener(installation.site.bootstrap, installation.site.topic_prefix) as opened:
        yield opened


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    """`tailrace dev`: all services in one process on a PostgreSQL in the box, without Kafka."""
    async with open_platform(tmp_path_factory.mktemp("dev") / "dev.log") as opened:
        yield opened


@pytest_asyncio.fixture
async def people(platform: Platform, empty_database_url: str, sink: Sink) -> AsyncIterator[People]:
    """A warehouse of people, and an admin of the platform."""
    async with platform.admin() as admin, open_people(admin, empty_database_url, sink) as opened:
        yield opened


@pytest.fixture
def no_polling() -> dict[str, object]:
    """Settings with which only an event can make a service prompt."""
    return {"poll_s": 300}
