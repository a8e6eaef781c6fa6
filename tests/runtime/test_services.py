"""The four services as they are deployed: a process each, on one PostgreSQL, with and without Kafka."""

import signal
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import aiohttp
import pytest

from tailrace.embedded.demo_api import DemoApi
from tailrace.embedded.demo_crm import open_crm
from tailrace.embedded.demo_show import JsonShow
from tailrace.embedded.demo_story import Stage, Told, tell
from tailrace.embedded.demo_warehouse import DemoWarehouse
from tests.cli.commands import tailrace
from tests.runtime.processes import SECRET_KEY, Process, a_process, asked, becomes, environment

SERVICES = ("gateway", "scheduler", "executor", "dlq")

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize("name", SERVICES)
async def test_service_gets_ready_and_ends_with_zero(name: str, database_url: str) -> None:
    async with a_service(name, environment(database_url, PORT="0", LOG_LEVEL="debug")) as process:
        await process.logged("service.started")
        address = await process.address()
        await becomes(lambda: status_of(f"{address}/readyz"), 200)

        process.signal(signal.SIGTERM)

        assert await process.ended() == 0
        assert len(process.lines) == len(process.raw.splitlines())
        assert SECRET_KEY.encode() not in process.raw
        assert database_url.encode() not in process.raw


@pytest.mark.parametrize("name", SERVICES)
async def test_service_outlives_an_outage_of_kafka_from_its_start(name: str, database_url: str) -> None:
    settings = environment(database_url, PORT="0", KAFKA_BOOTSTRAP="127.0.0.1:1")
    async with a_service(name, settings) as process:
        await process.logged("service.started")
        address = await process.address()
        await becomes(lambda: status_of(f"{address}/readyz"), 200)

        assert (await asked(f"{address}/readyz"))[1]["status"] == "degraded"
        assert (await asked(f"{address}/livez"))[0] == 200
        process.signal(signal.SIGTERM)

        assert await process.ended() == 0


async def test_runs_go_through_four_processes_that_only_poll(database_url: str, empty_database_url: str) -> None:
    settings = environment(database_url, PORT="0", POLL_S="0.5", ALLOW_PRIVATE_DESTINATIONS="true")
    async with AsyncExitStack() as stack:
        processes = [await stack.enter_async_context(a_service(name, settings)) for name in SERVICES]

        told = await story(stack, settings, processes, empty_database_url)

        assert told.wrong == []
        gateway, _, executor, _ = [await metrics_of(process) for process in processes]
        assert 'tailrace_runs_total{status="succeeded"} 2.0' in executor
        assert 'tailrace_rows_total{outcome="delivered"} 10095.0' in executor
        assert 'tailrace_destination_request_duration_seconds_count{connector="http"}' in executor
        assert 'route="/api/reverse-etl/sync/run"} 1.0' in gateway
        assert [await ended(process) for process in processes] == [0, 0, 0, 0]


async def test_with_kafka_runs_start_long_before_anybody_would_look(
    database_url: str, empty_database_url: str, kafka_bootstrap: str, topic_prefix: str
) -> None:
    kafka = {"KAFKA_BOOTSTRAP": kafka_bootstrap, "TOPIC_PREFIX": topic_prefix, "POLL_S": "300"}
    settings = environment(database_url, PORT="0", ALLOW_PRIVATE_DESTINATIONS="true", **kafka)
    made = await tailrace("kafka", "topics", "apply", "--replication-factor", "1", environment=settings)
    async with AsyncExitStack() as stack:
        processes = [await stack.enter_async_context(a_service(name, settings)) for name in SERVICES]
        await processes[2].logged("subscription.opened")

        told = await story(stack, settings, processes, empty_database_url)

        assert (made.code, told.wrong) == (0, [])
        assert [await ended(process) for process in processes] == [0, 0, 0, 0]


async def story(
    stack: AsyncExitStack, settings: Mapping[str, str], processes: Sequence[Process], warehouse_url: str
) -> Told:
    """What came of the demo's two runs, played over the API of these processes."""
    workspace = (await tailrace("workspace", "create", "Acme", environment=settings)).stdout.strip()
    token = (await tailrace("token", "create", "--workspace", workspace, environment=settings)).stdout.strip()
    opened = await processes[0].logged("gateway.opened")
    crm = await stack.enter_async_context(open_crm())
    api = await stack.enter_async_context(DemoApi.open(f"http://127.0.0.1:{opened['port']}", token))
    return await tell(Stage(api, await DemoWarehouse.create(warehouse_url), crm, JsonShow()))


def a_service(name: str, settings: Mapping[str, str]) -> AbstractAsyncContextManager[Process]:
    return a_process("-c", "from tailrace.cli.main import app; app()", name, environment=settings)


async def ended(process: Process) -> int:
    process.signal(signal.SIGTERM)
    return await process.ended()


async def metrics_of(process: Process) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"{await process.address()}/metrics") as response:
        return await response.text()


async def status_of(url: str) -> int:
    return (await asked(url))[0]
