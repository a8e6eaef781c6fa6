"""How fast starts are acknowledged: a gateway in a process of its own, asked at a fixed rate whether it keeps up."""

import asyncio
import math
import os
import sys
import time
from argparse import Namespace
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector
from rich.console import Console
from rich.table import Table

from tailrace.embedded.ports import LOOPBACK, free_port
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace.store import migrations
from tailrace.store.connections import ConnectionDraft
from tailrace.store.tokens import NewToken, Role, Tokens
from tests.executor.yard import definition_of, make_sync, open_chassis

_UP_S = 30.0
_CALL_S = 30.0
_WARM_UP = 50
_COPY = """
WITH made AS (
  INSERT INTO syncs (id, workspace_id, name, destination_id, definition, schedule)
  SELECT 'bench_' || n, workspace_id, name, destination_id, definition, schedule
  FROM syncs, generate_series(1, $1::int) AS n WHERE syncs.id = $2 RETURNING id, definition
)
INSERT INTO sync_versions (sync_id, version, definition) SELECT id, 1, definition FROM made
"""


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
        ordered = sorted(self.latencies_s)
        figures = {f"p{share}_ms": round(_percentile(ordered, share / 100) * 1000, 1) for share in (50, 95, 99)}
        return {"rate_per_s": round(len(ordered) / self.wall_s, 1), **figures, "max_ms": round(ordered[-1] * 1000, 1)}


def measure_starts(arguments: Namespace) -> dict[str, float]:
    """Start runs of as many syncs at the rate asked for; prints and gives the figures."""
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
    token, secret_key = await _stock(dsn, syncs)
    port = free_port()
    settings = {
        "TAILRACE_DATABASE_URL": dsn,
        "TAILRACE_SECRET_KEY": secret_key,
        "TAILRACE_PORT": str(port),
        "TAILRACE_OPS_PORT": "0",
        "TAILRACE_LOG_LEVEL": "error",
        "TAILRACE_CALLS_PER_S": "100000",
        "TAILRACE_CALLS_BURST": "100000",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tailrace_gateway", env=os.environ | settings, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        await _answers(port)
        yield Gateway(f"http://{LOOPBACK}:{port}", token)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _stock(dsn: str, syncs: int) -> tuple[str, str]:
    """A workspace with its syncs, made without the API; gives a token of it, and the secret key."""
    async with open_chassis(dsn) as chassis:
        source = ConnectionDraft("warehouse", {"url": "***"}, {"/url": dsn})
        sink = ConnectionDraft("sink", {"url": "http://127.0.0.1:9/rows"}, {})
        sync = await make_sync(chassis, source, sink, definition_of("SELECT 1 AS id", ("id",)))
        _, text = await Tokens(chassis.database, chassis.box).create(NewToken(sync.workspace_id, "bench", Role.EDITOR))
    connection = await asyncpg.connect(dsn, server_settings={"app.workspace_id": "*"})
    await connection.execute(_COPY, syncs, sync.id)
    await connection.execute("VACUUM ANALYZE")
    await connection.close()
    return text, chassis.settings.secret_key.get_secret_value()


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


def _percentile(ordered: Sequence[float], share: float) -> float:
    """The least value that so large a share of all does not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
