"""One case in a process of its own, so that its CPU time and its memory are its own. Prints one JSON object."""

import asyncio
import resource
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace

import aiohttp
import orjson
import uvloop

from tailrace.core.policies import DeliveryPolicy
from tailrace.core.readings import CursorReading
from tailrace.core.runs import RunKind, RunStatus
from tailrace.core.syncs import SyncDefinition, SyncMode
from tailrace.observe.logs import configure_logs
from tailrace.store.connections import ConnectionDraft
from tests.bench.ground import connected
from tests.bench.sink import Terms
from tests.executor.yard import Yard, definition_of, make_sync, open_chassis

COLUMNS = ("id", "email", "first_name", "last_name", "company", "country", "score", "spent", "active", "updated_at")
ROWS_PER_REQUEST = 500
IN_FLIGHT = 8

_KIB_PER_MIB = 1024
_PATIENCE_S = 3600.0
_CHECKPOINT_S = 0.5
_WINDOW_OF_MANY = 20_000
_COPY = (
    "DROP TABLE IF EXISTS {0}",
    "CREATE TABLE {0} AS TABLE {1}",
    "CREATE INDEX ON {0} (updated_at)",
    "VACUUM ANALYZE {0}",
)
_CHANGE = (
    "UPDATE {0} SET score = score + 1, updated_at = now() + id * interval '1 microsecond' WHERE id % 100 = 7",
    "DELETE FROM {0} WHERE id % 1000 = 13",
    "ANALYZE {0}",
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the case finds its warehouse, the table in it, its state store and its sink."""

    warehouse_url: str
    table: str
    database_url: str
    sink_url: str

    @property
    def arguments(self) -> tuple[str, ...]:
        """Itself on a command line."""
        return (self.warehouse_url, self.table, self.database_url, self.sink_url)

    @property
    def query(self) -> str:
        """All rows."""
        return f"SELECT {', '.join(COLUMNS)} FROM {self.table}"


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


@dataclass(frozen=True, slots=True)
class Case:
    """Something to measure; `rows_at_most` where all rows of the table would take too long."""

    what: str
    run: Callable[[Place], Coroutine[None, None, Timed]]
    sink: Terms = field(default_factory=Terms)
    rows_at_most: int | None = None


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
    room, rows = asyncio.Semaphore(IN_FLIGHT), 0
    async with connected(place.warehouse_url) as connection, aiohttp.ClientSession() as session:

        async def post(body: bytes) -> None:
            async with session.post(place.sink_url, data=body) as response:
                await response.read()
            room.release()

        watch = Watch()
        async with connection.transaction(readonly=True), asyncio.TaskGroup() as tasks:
            cursor = await connection.cursor(place.query)
            while block := await cursor.fetch(ROWS_PER_REQUEST):
                await room.acquire()
                tasks.create_task(post(orjson.dumps({"rows": [dict(row) for row in block]}, default=str)))
                rows += len(block)
        return watch.stop(rows)


async def full(place: Place) -> Timed:
    """A first run by an executor, with every guarantee."""
    return await _first_run(place, ROWS_PER_REQUEST, IN_FLIGHT)


async def single(place: Place) -> Timed:
    """The same with a request for each row."""
    return await _first_run(place, 1, None)


async def far_away(place: Place) -> Timed:
    """The same to a destination that takes its time, with a window that holds all that is under way."""
    return await _first_run(place, 100, 64, delivery=DeliveryPolicy(window_rows=_WINDOW_OF_MANY))


async def unchanged(place: Place) -> Timed:
    """A second run that finds nothing to send."""
    return await _second_run(place, ())


async def by_snapshot(place: Place) -> Timed:
    """A second run that finds 1 % of the rows changed and 0.1 % gone by comparing all with what was delivered."""
    return await _second_run(place, _CHANGE, sync_mode=SyncMode.MIRROR)


async def by_cursor(place: Place) -> Timed:
    """A second run that finds 1 % of the rows changed by an indexed column; it cannot see what is gone."""
    return await _second_run(place, _CHANGE, reading=CursorReading(type="cursor", column="updated_at"))


CASES: Mapping[str, Case] = {
    "naive": Case("asyncpg cursor, orjson, aiohttp, 8 in flight, no guarantees", naive),
    "full": Case("first run, all guarantees, 8 in flight", full),
    "rejected": Case("first run, each tenth row rejected and kept", full, Terms(rejects_of=ROWS_PER_REQUEST)),
    "unchanged": Case("second run, nothing changed", unchanged),
    "snapshot": Case("second run by snapshot, 1 % changed, 0.1 % removed", by_snapshot),
    "cursor": Case("second run by cursor, 1 % changed", by_cursor),
    "single": Case("first run, a request for each row", single, rows_at_most=20_000),
    "latency50": Case("first run, 50 ms latency, 100 rows a request, 64 in flight", far_away, Terms(delay_s=0.05)),
    "latency200": Case(
        "first run, 200 ms latency, 100 rows a request, 64 in flight", far_away, Terms(delay_s=0.2), 200_000
    ),
}
"""Rows per second are those of the table, so that a second run shows how fast it is looked through."""


async def _first_run(place: Place, rows_per_request: int, in_flight: int | None, **definition: object) -> Timed:
    async with _yard(place, rows_per_request, in_flight, definition) as yard:
        return await _timed_run(yard)


async def _second_run(place: Place, changes: Sequence[str], **definition: object) -> Timed:
    """On a copy of the table, for it is changed."""
    own = replace(place, table=f"{place.table}_changing")
    async with connected(place.warehouse_url) as warehouse:
        for statement in _COPY:
            await warehouse.execute(statement.format(own.table, place.table))
        async with _yard(own, ROWS_PER_REQUEST, IN_FLIGHT, definition) as yard:
            first = await _timed_run(yard)
            for change in changes:
                await warehouse.execute(change.format(own.table))
            timed = await _timed_run(yard)
        await warehouse.execute(f"DROP TABLE {own.table}")
    return replace(timed, rows=first.rows)


async def _timed_run(yard: Yard) -> Timed:
    async with yard.executor(checkpoint_s=_CHECKPOINT_S):
        watch = Watch()
        run = await yard.ended(await yard.start(RunKind.INCREMENTAL))
        timed = watch.stop(run.books.read)
    if run.status is not RunStatus.SUCCEEDED:
        raise SystemExit(f"the run ended as {run.status}: {run.error_message}")
    return timed


@asynccontextmanager
async def _yard(
    place: Place, rows_per_request: int, in_flight: int | None, definition: Mapping[str, object]
) -> AsyncIterator[Yard]:
    source = ConnectionDraft("warehouse", {"url": "***", "allow_superuser": True}, {"/url": place.warehouse_url})
    settings = {"url": place.sink_url, "rows_per_batch": rows_per_request}
    sink = ConnectionDraft("sink", settings, {}, max_in_flight=in_flight)
    whole = SyncDefinition.model_validate(definition_of(place.query, COLUMNS).model_dump() | dict(definition))
    async with open_chassis(place.database_url) as chassis, connected(place.warehouse_url) as warehouse:
        sync = await make_sync(chassis, source, sink, whole)
        yield Yard(chassis, warehouse, sync, patience_s=_PATIENCE_S)


def _measure(name: str, place: Place) -> Measured:
    configure_logs(level="error", form="console", bound={})
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        timed = runner.run(CASES[name].run(place))
    peak_rss_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIB_PER_MIB
    return Measured(timed.rows, timed.wall_s, timed.cpu_s, peak_rss_mib)


if __name__ == "__main__":
    sys.stdout.write(orjson.dumps(asdict(_measure(sys.argv[1], Place(*sys.argv[2:])))).decode() + "\n")
