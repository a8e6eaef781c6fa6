"""How much sooner a run ends that executors share, where it is their CPU that it waits for."""

import asyncio
import statistics
import tempfile
import time
from argparse import Namespace
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from tailrace.core.errors import Conflict
from tailrace.runtime.settings import Settings
from tailrace.store.timelines import Timelines
from tests.bench.case import open_yard
from tests.bench.ground import Ground, open_ground
from tests.bench.report import Figures
from tests.bench.sink import Terms, open_sink
from tests.bench.work import COLUMNS, IN_FLIGHT, ROWS_PER_REQUEST, Place
from tests.walks.processes import a_service

EXECUTORS = (1, 2)

_SHARDS = 8
_PLAIN = [{"source": name, "destination": name, "key": name == COLUMNS[0]} for name in COLUMNS]
_GREETING = {"template": "{{ first_name | upcase }} {{ last_name | capitalize }}, {{ company }}", "destination": "line"}
MAPPINGS: Mapping[str, object] = {"plain": _PLAIN, "templates": [*_PLAIN, _GREETING]}
"""A template for each row leaves the work to the executor; with none, PostgreSQL and the sink have about as much."""


@dataclass(frozen=True, slots=True)
class SharedRun:
    """Seconds from its start to its end, into how many shards it was cut, and how many executors had one."""

    took_s: float
    shards: int
    owners: int


def measure_shards(arguments: Namespace) -> Figures:
    """First runs by one executor process and by two, in turns; gives medians of seconds, and how much sooner."""
    return asyncio.run(_measure(arguments.rows, arguments.repeat))


async def _measure(rows: int, repeat: int) -> Figures:
    figures: dict[str, float] = {}
    async with open_ground(rows) as ground:
        for name in MAPPINGS:
            took: dict[int, list[float]] = {count: [] for count in EXECUTORS}
            for _ in range(repeat):
                for count in EXECUTORS:
                    took[count].append(await _first_run_s(ground, name, count))
            medians = {count: statistics.median(took[count]) for count in EXECUTORS}
            figures |= {f"{name}_s_by_{count}": round(medians[count], 2) for count in EXECUTORS}
            figures[f"{name}_speedup"] = round(medians[1] / medians[2], 2)
    return figures


async def _first_run_s(ground: Ground, mapping: str, executors: int) -> float:
    store_url = await ground.fresh_store("store_shards")
    with open_sink(Terms()) as sink:
        place = Place(ground.warehouse_url, ground.table, store_url, sink.url)
        run = await shared_run(place, MAPPINGS[mapping], executors, rows_per_shard=max(1, ground.rows // _SHARDS))
        received = sink.close().rows
    if received != ground.rows or run.owners != executors:
        raise Conflict(f"{received:,} rows of {ground.rows:,} were delivered, by {run.owners} executors")
    return run.took_s


async def shared_run(place: Place, mappings: object, executors: int, *, rows_per_shard: int) -> SharedRun:
    """A first run by so many executor processes, which were ready before."""
    definition = {"field_mappings": mappings}
    async with open_yard(place, ROWS_PER_REQUEST, IN_FLIGHT, definition) as yard, AsyncExitStack() as stack:
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        given = _environment(yard.chassis.settings, rows_per_shard)
        names = [f"executor-{number}" for number in range(executors)]
        for name in names:
            environment = given | {"TAILRACE_POD_NAME": name}
            process = await stack.enter_async_context(a_service("executor", name, logs / f"{name}.log", environment))
            await process.ready()
        started = time.perf_counter()
        run = await yard.ended(await yard.start())
        took_s = time.perf_counter() - started
        shards = await Timelines(yard.chassis.database).shards(run.id)
    return SharedRun(took_s, len(shards), len({shard.lease_owner for shard in shards}))


def _environment(settings: Settings, rows_per_shard: int) -> dict[str, str]:
    return {
        "TAILRACE_DATABASE_URL": settings.database_url.get_secret_value(),
        "TAILRACE_SECRET_KEY": settings.secret_key.get_secret_value(),
        "TAILRACE_ALLOW_PRIVATE_DESTINATIONS": "true",
        "TAILRACE_ROWS_PER_SHARD": str(rows_per_shard),
        "TAILRACE_PORT": "0",
        "TAILRACE_OPS_PORT": "0",
        "TAILRACE_POLL_S": "0.5",
        "TAILRACE_LOG_LEVEL": "info",
    }
