"""How fast starts are acknowledged: a gateway in a process of its own, asked at a fixed rate whether it keeps up."""

import asyncio
import os
import sys
import time
from argparse import Namespace
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector
from rich.console import Console
from rich.table import Table

from tailrace.embedded.ports import LOOPBACK, free_port
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace.runtime.interpreter import spare_what_stays
from tailrace.store import migrations
from tests.bench.stock import Work, percentiles_ms, stocked

_UP_S = 30.0
_CALL_S = 30.0
_WARM_UP = 50


@dataclass(frozen=True, slots=True)
class Gateway:
    """Where starts go, and with which token."""

    url: str
    token: str


@dataclass(frozen=True, slots=True)
class Load:
    """What came of asking: seconds from the moment at which each start was due to its answer, and the answers."""

    latencies_s: Sequence[float]
    statuses: Counter[str]
    wall_s: float

    def report(self) -> dict[str, float]:
        """The figures that count."""
        rate_per_s = round(len(self.latencies_s) / self.wall_s, 1)
        return {"rate_per_s": rate_per_s, **percentiles_ms(self.latencies_s, 50, 95, 99)}


def measure_starts(arguments: Namespace) -> dict[str, float]:
    """Start runs of as many syncs at the rate asked for; prints and gives the figures."""
    # Collections of garbage on this side would be told as those of the gateway.
    spare_what_stays()
    load = asyncio.run(_measure(arguments.rate, arguments.seconds))
    figures = load.report()
    title = f"starts at {arguments.rate} a second for {arguments.seconds} s, each of another sync"
    table = Table("answers", *figures, title=title)
    told = ", ".join(f"{count} x {status}" for status, count in sorted(load.statuses.items()))
    table.add_row(told, *(f"{value:,}" for value in figures.values()))
    Console().print(table)
    return figures


async def _measure(rate: int, seconds: int) -> Load:
    count = rate * seconds
    async with EmbeddedPostgres() as postgres:
        dsn = await postgres.ensure_database("bench_api")
        await migrations.upgrade(dsn)
        async with _gateway(dsn, syncs=count + _WARM_UP) as gateway, _client(gateway) as client:
            for at in range(_WARM_UP):
                await _start(client, gateway, count + at + 1)
            return await _load(client, gateway, rate, count)


async def _load(client: ClientSession, gateway: Gateway, rate: int, count: int) -> Load:
    """Ask at the moments at which it is due, so that a slow answer does not hold back the next question."""
    begun = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        asked = []
        for at in range(count):
            await asyncio.sleep(max(0.0, begun + at / rate - time.perf_counter()))
            asked.append(tasks.create_task(_timed(client, gateway, at + 1)))
    answers = [task.result() for task in asked]
    wall_s = max(done for _, done in answers) - begun
    latencies = [done - (begun + at / rate) for at, (_, done) in enumerate(answers)]
    return Load(latencies, Counter(status for status, _ in answers), wall_s)


async def _timed(client: ClientSession, gateway: Gateway, sync: int) -> tuple[str, float]:
    status = await _start(client, gateway, sync)
    return status, time.perf_counter()


async def _start(client: ClientSession, gateway: Gateway, sync: int) -> str:
    try:
        async with client.post(f"{gateway.url}/v2/retl-connections/bench_{sync}/start", json={}) as answered:
            await answered.read()
            return str(answered.status)
    except (ClientError, TimeoutError) as error:
        return type(error).__name__


@asynccontextmanager
async def _client(gateway: Gateway) -> AsyncIterator[ClientSession]:
    headers = {"Authorization": f"Bearer {gateway.token}"}
    connector = TCPConnector(limit=0)
    async with ClientSession(headers=headers, connector=connector, timeout=ClientTimeout(_CALL_S)) as session:
        yield session


@asynccontextmanager
async def _gateway(dsn: str, *, syncs: int) -> AsyncIterator[Gateway]:
    """A gateway as it is deployed, with so many syncs to start."""
    stock = await stocked(dsn, syncs, Work("SELECT 1 AS id", dsn))
    port = free_port()
    settings = {**stock.environment, "TAILRACE_PORT": str(port), "TAILRACE_LOG_LEVEL": "error"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tailrace_gateway", env=os.environ | settings, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        await _answers(port)
        yield Gateway(f"http://{LOOPBACK}:{port}", stock.token)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _answers(port: int) -> None:
    async with asyncio.timeout(_UP_S):
        while True:
            try:
                _, writer = await asyncio.open_connection(LOOPBACK, port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
