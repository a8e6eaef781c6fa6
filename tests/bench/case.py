"""One case in a process of its own, so that its CPU time and its memory are its own. Prints one JSON object."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import uvloop

from tailrace.connector_kit.registry import destination_type, warehouse_type
from tailrace.core.policies import DeliveryPolicy
from tailrace.core.readings import CursorReading, VersionReading
from tailrace.core.runs import RunKind, RunStatus
from tailrace.core.syncs import SyncDefinition, SyncMode
from tailrace.observe.logs import configure_logs
from tailrace.runtime.interpreter import collect_seldom, spare_what_stays
from tailrace.store.connections import ConnectionDraft
from tests.bench.ground import changing, connected
from tests.bench.naive import naive, naive_again
from tests.bench.sink import Terms
from tests.bench.watch import Timed, Watch, tell
from tests.bench.work import COLUMNS, IN_FLIGHT, ROWS_PER_REQUEST, Place
from tests.executor.yard import Yard, definition_of, make_sync, open_chassis

_PATIENCE_S = 3600.0
_CHECKPOINT_S = 0.5
_POLL_S = 3.0
_LOOK_EVERY_S = 0.05
_WINDOW_OF_MANY = 20_000

_ROWS_OF_ONE_SHARD = 1_000_000
"""Of a run that is shared, each part ends with a batch that is not full, of which the sink's answer does not speak."""


@dataclass(frozen=True, slots=True)
class Case:
    """Something to measure; `rows_at_most` where all rows of the table would take too long, or spoil it.

    A second run sends the share `sends_again` of them.
    """

    what: str
    run: Callable[[Place], Coroutine[None, None, Timed]]
    sink: Terms = field(default_factory=Terms)
    rows_at_most: int | None = None
    sends_again: float = 0.0

    def sends(self, rows: int) -> int:
        """How many rows of a table of so many reach the sink, those of a first run and of a second one."""
        return rows + round(rows * self.sends_again)


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
    return await _second_run(place, changed=False)


async def by_snapshot(place: Place) -> Timed:
    """A second run that finds 1 % of the rows changed and 0.1 % gone by comparing all with what was delivered."""
    return await _second_run(place, sync_mode=SyncMode.MIRROR)


async def by_version(place: Place) -> Timed:
    """The same, where a column tells which rows are the same as before."""
    return await _second_run(
        place, sync_mode=SyncMode.MIRROR, reading=VersionReading(type="version", column="updated_at")
    )


async def by_cursor(place: Place) -> Timed:
    """A second run that finds 1 % of the rows changed by an indexed column; it cannot see what is gone."""
    return await _second_run(place, reading=CursorReading(type="cursor", column="updated_at"))


CASES: Mapping[str, Case] = {
    "naive": Case("asyncpg cursor, orjson, aiohttp, 8 in flight, no guarantees", naive),
    "naive_again": Case(
        "asyncpg cursor, hashes in Python, looked up in PostgreSQL: second run, 1 % changed",
        naive_again,
        sends_again=0.01,
    ),
    "full": Case("first run, all guarantees, 8 in flight", full),
    "rejected": Case(
        "first run, each tenth row rejected and kept", full, Terms(rejects_of=ROWS_PER_REQUEST), _ROWS_OF_ONE_SHARD
    ),
    "unchanged": Case("second run, nothing changed", unchanged),
    "snapshot": Case("second run by snapshot, 1 % changed, 0.1 % removed", by_snapshot, sends_again=0.01),
    "version": Case("second run by a version column, 1 % changed, 0.1 % removed", by_version, sends_again=0.01),
    "cursor": Case("second run by cursor, 1 % changed", by_cursor, sends_again=0.01),
    "single": Case("first run, a request for each row", single, rows_at_most=20_000),
    "latency50": Case("first run, 50 ms latency, 100 rows a request, 64 in flight", far_away, Terms(delay_s=0.05)),
    "latency200": Case(
        "first run, 200 ms latency, 100 rows a request, 64 in flight", far_away, Terms(delay_s=0.2), 200_000
    ),
}
"""Rows per second are those of the table, so that a second run shows how fast it is looked through."""


async def _first_run(place: Place, rows_per_request: int, in_flight: int | None, **definition: object) -> Timed:
    async with open_yard(place, rows_per_request, in_flight, definition) as yard:
        return await _timed_run(yard)


async def _second_run(place: Place, *, changed: bool = True, **definition: object) -> Timed:
    """On a copy of the table, for it is changed."""
    async with (
        connected(place.warehouse_url) as warehouse,
        changing(warehouse, place.table) as copy,
        open_yard(replace(place, table=copy.table), ROWS_PER_REQUEST, IN_FLIGHT, definition) as yard,
    ):
        first = await _timed_run(yard)
        if changed:
            await copy.change()
        timed = await _timed_run(yard)
    return replace(timed, rows=first.rows)


async def _timed_run(yard: Yard) -> Timed:
    collect_seldom()
    run_id = await yard.start(RunKind.INCREMENTAL)
    watch = Watch()
    async with yard.executor(checkpoint_s=_CHECKPOINT_S, poll_s=_POLL_S):
        run = await yard.ended(run_id)
        timed = watch.stop(run.books.read)
    if run.status is not RunStatus.SUCCEEDED or run.finished_at is None:
        raise SystemExit(f"the run ended as {run.status}: {run.error_message}")
    # Whoever waits for its end looks for it now and then.
    return replace(timed, wall_s=(run.finished_at - run.queued_at).total_seconds())


@asynccontextmanager
async def open_yard(
    place: Place, rows_per_request: int, in_flight: int | None, definition: Mapping[str, object]
) -> AsyncIterator[Yard]:
    """A sync from the table to the sink, in a state store that has nothing else."""
    source = ConnectionDraft("warehouse", {"url": "***", "allow_superuser": True}, {"/url": place.warehouse_url})
    settings = {"url": place.sink_url, "rows_per_batch": rows_per_request}
    sink = ConnectionDraft("sink", settings, {}, max_in_flight=in_flight)
    whole = SyncDefinition.model_validate(definition_of(place.query, COLUMNS).model_dump() | dict(definition))
    async with open_chassis(place.state) as chassis, connected(place.warehouse_url) as warehouse:
        sync = await make_sync(chassis, source, sink, whole)
        yield Yard(chassis, warehouse, sync, patience_s=_PATIENCE_S, look_every_s=_LOOK_EVERY_S)


def _main(name: str, place: Place) -> None:
    configure_logs(level="error", form="console", bound={})
    _settle_in()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        tell(runner.run(CASES[name].run(place)))


def _settle_in() -> None:
    """Be as a service is that has been at work: connectors are loaded, and what stays is spared by collections."""
    warehouse_type("postgres")
    destination_type("http")
    spare_what_stays()


if __name__ == "__main__":
    _main(sys.argv[1], Place(*sys.argv[2:]))
