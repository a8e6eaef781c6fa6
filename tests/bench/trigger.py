"""How long it is from the start of a run to the first byte at its destination: four services, over a real Kafka."""

import asyncio
import os
import tempfile
import time
from argparse import Namespace
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import asyncpg
from aiohttp import ClientSession

from tailrace.bus.kafka_access import KafkaAccess
from tailrace.bus.topics import make_missing_topics
from tailrace.embedded.ports import LOOPBACK
from tailrace.events.topics import TopicNames
from tailrace.testing.kafka_server import KafkaServer
from tests.bench.ground import connected, open_ground
from tests.bench.sink import answer_to_a_batch
from tests.bench.stock import Stock, Work, percentiles_ms, stocked
from tests.walks.processes import ServiceProcess, a_service

_SERVICES = ("gateway", "scheduler", "executor", "dlq")
_WARM_UP = 5
_IDLE_S = 10.0
_ENDED_S = 60.0
_LOOK_S = 0.02
_ACTIVE = "SELECT count(*) FROM runs WHERE status IN ('queued', 'running')"
_ROWS = 10
_QUERY = f"SELECT id::text FROM generate_series(1, {_ROWS}) AS id"


class Doorbell(asyncio.Protocol):
    """A sink that notes when the first byte of a request comes."""

    def __init__(self, rings: list[float]) -> None:
        self._rings = rings

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """A request of so few rows comes in one piece."""
        self._rings.append(time.perf_counter())
        self._transport.write(answer_to_a_batch(0))


@dataclass(frozen=True, slots=True)
class Street:
    """Four services that work, what rings at their destination, and a look into their state."""

    url: str
    stock: Stock
    services: Sequence[ServiceProcess]
    rings: list[float]
    state: "asyncpg.Connection[asyncpg.Record]"


@dataclass(frozen=True, slots=True)
class Site:
    """What the services are to use: a store with our schema, a database to query, a Kafka, and the topics there."""

    store_url: str
    warehouse_url: str
    kafka_bootstrap: str
    topic_prefix: str = "tailrace"


def measure_trigger(arguments: Namespace) -> Mapping[str, float]:
    """Start runs one after the other, each of another sync; gives how long the first request took to come."""
    return asyncio.run(_measure(arguments.starts))


async def _measure(starts: int) -> Mapping[str, float]:
    async with open_ground(_ROWS) as ground, KafkaServer() as kafka:
        site = Site(await ground.fresh_store("store_trigger"), ground.warehouse_url, kafka.bootstrap)
        return await first_requests(site, starts, idle_s=_IDLE_S)


async def first_requests(site: Site, starts: int, *, idle_s: float) -> Mapping[str, float]:
    """How long they took to come, after the services had been watched idle for a while."""
    async with _street(site, starts + _WARM_UP) as street:
        idle = await _idle_cpu(street.services, idle_s)
        headers = {"Authorization": f"Bearer {street.stock.token}"}
        async with ClientSession(street.url, headers=headers) as client:
            took = [await _start(street, client, number + 1) for number in range(starts + _WARM_UP)]
    return {"starts": starts, **percentiles_ms(took[_WARM_UP:], 50, 95, 99), **idle}


async def _start(street: Street, client: ClientSession, number: int) -> float:
    """Seconds from asking to the first byte; returns once the run has ended."""
    street.rings.clear()
    asked = time.perf_counter()
    async with client.post(f"/v2/retl-connections/bench_{number}/start", json={}) as answered:
        answered.raise_for_status()
    async with asyncio.timeout(_ENDED_S):
        while await street.state.fetchval(_ACTIVE):  # noqa: ASYNC110 - other processes decide
            await asyncio.sleep(_LOOK_S)
    return street.rings[0] - asked


async def _idle_cpu(services: Sequence[ServiceProcess], for_s: float) -> Mapping[str, float]:
    """The share of a core, in percent, that each service takes while there is nothing to do."""
    before = [_cpu_s(service) for service in services]
    await asyncio.sleep(for_s)
    spent = zip(services, before, strict=True)
    return {f"idle_{one.pod_name}_percent": round((_cpu_s(one) - was) / for_s * 100, 2) for one, was in spent}


def _cpu_s(service: ServiceProcess) -> float:
    fields = Path(f"/proc/{service.child.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def _street(site: Site, syncs: int) -> AsyncIterator[Street]:
    rings: list[float] = []
    async with AsyncExitStack() as stack:
        topics = TopicNames(site.topic_prefix).all()
        await make_missing_topics(KafkaAccess(site.kafka_bootstrap), topics, replication_factor=1)
        server = await asyncio.get_running_loop().create_server(lambda: Doorbell(rings), LOOPBACK, 0)
        await stack.enter_async_context(server)
        sink_url = f"http://{LOOPBACK}:{server.sockets[0].getsockname()[1]}/rows"
        stock = await stocked(site.store_url, syncs, Work(_QUERY, site.warehouse_url, sink_url))
        given = {
            **stock.environment,
            "TAILRACE_KAFKA_BOOTSTRAP": site.kafka_bootstrap,
            "TAILRACE_TOPIC_PREFIX": site.topic_prefix,
            "TAILRACE_PORT": "0",
        }
        services = await _services(stack, given)
        port = (await services[0].first("gateway.opened"))["port"]
        state = await stack.enter_async_context(connected(stock.database_url))
        yield Street(f"http://{LOOPBACK}:{port}", stock, services, rings, state)


async def _services(stack: AsyncExitStack, given: Mapping[str, str]) -> Sequence[ServiceProcess]:
    logs = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    services = [
        await stack.enter_async_context(
            a_service(name, name, logs / f"{name}.log", {**given, "TAILRACE_POD_NAME": name})
        )
        for name in _SERVICES
    ]
    for service in services:
        await service.ready()
    for service in services[1:]:
        await service.first("subscription.opened")
    return services
