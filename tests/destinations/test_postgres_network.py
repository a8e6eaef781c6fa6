import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest
import pytest_asyncio

from tailrace.connector_kit.destination import Destination, Target, WritePlan
from tailrace.core.errors import DestinationUnavailable, InDoubt
from tailrace.core.rows import DELIVERED, Operation
from tailrace.destinations.postgres import PostgresDestination
from tailrace.testing.destination_contract import batch_of, failure_of, person
from tailrace.testing.fake_http import FakeHttp
from tests.bus.network import Network
from tests.destinations.postgres_rig import PEOPLE, settings

BATCH = batch_of(Operation.UPSERT, person("1", "Ada"))


@pytest_asyncio.fixture
async def network(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Network]:
    admin = await asyncpg.connect(empty_database_url, timeout=10, command_timeout=10)
    await admin.execute(PEOPLE)
    await admin.close(timeout=10)
    parts = urlsplit(empty_database_url)
    async with Network.around(f"{parts.hostname}:{parts.port}", monkeypatch) as network:
        yield network


@pytest_asyncio.fixture
async def destination(empty_database_url: str, network: Network) -> AsyncIterator[Destination]:
    given = settings(empty_database_url, command_timeout_s=0.2, connect_timeout_s=1, connections=1)
    async with PostgresDestination.open(given, FakeHttp()) as destination:
        yield destination


@pytest_asyncio.fixture
async def plan(destination: Destination) -> WritePlan:
    return await destination.plan(Target("public.people", Operation.UPSERT, ("id",), ("id", "name")))


async def test_server_that_never_answers_leaves_the_batch_in_doubt(
    destination: Destination, plan: WritePlan, network: Network
) -> None:
    network.swallow()

    async with asyncio.timeout(15):
        failure = await failure_of(destination.write(plan, BATCH))

    assert isinstance(failure, InDoubt)


async def test_connection_that_breaks_leaves_the_batch_in_doubt(
    destination: Destination, plan: WritePlan, network: Network
) -> None:
    network.swallow()
    async with asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(failure_of(destination.write(plan, BATCH)))
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.05, network.cut)

    assert isinstance(writing.result(), InDoubt)


async def test_server_that_is_gone_is_unavailable_and_works_again_when_it_is_back(
    destination: Destination, plan: WritePlan, network: Network
) -> None:
    network.cut()
    first = await failure_of(destination.write(plan, BATCH))
    second = await failure_of(destination.write(plan, BATCH))

    network.mend()
    result = await destination.write(plan, BATCH)

    assert isinstance(first, DestinationUnavailable | InDoubt)
    assert isinstance(second, DestinationUnavailable)
    assert result.outcomes == [DELIVERED]


async def test_more_writers_than_connections_wait_for_each_other(destination: Destination, plan: WritePlan) -> None:
    batches = [batch_of(Operation.UPSERT, person(str(n), "x")) for n in range(20)]

    results = await asyncio.gather(*(destination.write(plan, batch) for batch in batches))

    assert [result.outcomes for result in results] == [[DELIVERED]] * 20
