"""One case in a process of its own, so that its CPU time and its memory are its own. Prints one JSON object."""

import asyncio
import resource
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass

import aiohttp
import asyncpg
import orjson
import uvloop

from tailrace.core.runs import RunKind, RunStatus
from tailrace.observe.logs import configure_logs
from tailrace.runtime.service import Chassis
from tailrace.store.connections import ConnectionDraft
from tests.bench.sink import ROWS_PER_BATCH
from tests.executor.yard import Yard, definition_of, make_sync, open_chassis

COLUMNS = ("id", "email", "first_name", "last_name", "company", "country", "score", "spent", "active", "updated_at")
QUERY = f"SELECT {', '.join(COLUMNS)} FROM people"

_KIB_PER_MIB = 1024
_ROWS_PER_FETCH = 1000
_PATIENCE_S = 3600.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where the case finds its warehouse, its state store and its sink."""

    warehouse_url: str
    database_url: str
    sink_url: str


@dataclass(frozen=True, slots=True)
class Timed:
    """The part of a case that counts."""

    rows: int
    wall_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What a case came to."""

    rows: int
    wall_s: float
    cpu_s: float
    peak_rss_mib: float


class Watch:
    """Wall and CPU time of this process from its making on."""

    def __init__(self) -> None:
        self._wall_s = time.perf_counter()
        self._cpu_s = time.process_time()

    def stop(self, rows: int) -> Timed:
        """What it took to do so many rows."""
        return Timed(rows, time.perf_counter() - self._wall_s, time.process_time() - self._cpu_s)


async def naive(place: Place) -> Timed:
    """The loop that anybody would write: no outcomes, no state, no limits, nothing kept."""
    connection = await asyncpg.connect(place.warehouse_url)
    rows = 0
    watch = Watch()
    async with aiohttp.ClientSession() as session, connection.transaction(readonly=True):
        cursor = await connection.cursor(QUERY)
        while block := await cursor.fetch(_ROWS_PER_FETCH):
            for at in range(0, len(block), ROWS_PER_BATCH):
                some = [dict(row) for row in block[at : at + ROWS_PER_BATCH]]
                await session.post(place.sink_url, data=orjson.dumps({"rows": some}, default=str))
                rows += len(some)
    return watch.stop(rows)


async def full(place: Place) -> Timed:
    """A first run by an executor, with every guarantee."""
    async with open_chassis(place.database_url) as chassis:
        return await _timed_run(await _yard(place, chassis), RunKind.INCREMENTAL)


async def unchanged(place: Place) -> Timed:
    """A second run that finds nothing to send."""
    async with open_chassis(place.database_url) as chassis:
        yard = await _yard(place, chassis)
        await _timed_run(yard, RunKind.INCREMENTAL)
        return await _timed_run(yard, RunKind.INCREMENTAL)


CASES: dict[str, Callable[[Place], Coroutine[None, None, Timed]]] = {
    "naive": naive,
    "full": full,
    "rejected": full,
    "unchanged": unchanged,
}
"""The sink of `rejected` refuses every tenth row."""


async def _timed_run(yard: Yard, kind: RunKind) -> Timed:
    async with yard.executor():
        watch = Watch()
        run = await yard.ended(await yard.start(kind))
        timed = watch.stop(run.books.read)
    if run.status is not RunStatus.SUCCEEDED:
        raise SystemExit(f"the run ended as {run.status}: {run.error_message}")
    return timed


async def _yard(place: Place, chassis: Chassis) -> Yard:
    source = ConnectionDraft("warehouse", {"url": "***", "allow_superuser": True}, {"/url": place.warehouse_url})
    sink = ConnectionDraft("sink", {"url": place.sink_url, "rows_per_batch": ROWS_PER_BATCH}, {})
    warehouse = await asyncpg.connect(place.warehouse_url)
    sync = await make_sync(chassis, source, sink, definition_of(QUERY, COLUMNS))
    return Yard(chassis, warehouse, sync, patience_s=_PATIENCE_S)


def _measure(name: str, place: Place) -> Measured:
    configure_logs(level="error", form="console", bound={})
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        timed = runner.run(CASES[name](place))
    peak_rss_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIB_PER_MIB
    return Measured(timed.rows, timed.wall_s, timed.cpu_s, peak_rss_mib)


if __name__ == "__main__":
    sys.stdout.write(orjson.dumps(asdict(_measure(sys.argv[1], Place(*sys.argv[2:])))).decode() + "\n")
