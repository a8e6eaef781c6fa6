"""The belt between reading and delivery: a reading comes to its end however long its destination takes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.connector_kit.copy_text import LineKeys
from tailrace.connector_kit.destination import WritePlan
from tailrace.core.batches import Batch, BatchResult
from tailrace.core.clock import SystemClock
from tailrace.core.errors import CredentialsRefused, SourceUnavailable, TailraceError
from tailrace.core.policies import DeliveryPolicy
from tailrace.core.rows import DELIVERED, Change, RowOutcome, rejected
from tailrace.core.runs import RunKind
from tailrace.core.syncs import SyncMode
from tailrace.observe.metrics import REGISTRY
from tailrace.pipeline.belt import Belt
from tailrace.pipeline.plain import PlainUpdates
from tailrace.pipeline.spool import Changes
from tailrace.pipeline.spools import Spools, SpoolTerms
from tailrace.pipeline.tenure import Stopped, StopReason
from tailrace.pipeline.walk import walk
from tests.pipeline.clocks import SetClock
from tests.pipeline.test_spool import NamedSpools, added, open_in, rows
from tests.pipeline.world import MemoryDestination, World, people

pytestmark = pytest.mark.timeout(120)

SENDS = frozenset({Change.ADDED})
ROOM_BYTES = 16 << 20
AT_ONCE = SpoolTerms(0.0, ROOM_BYTES, ROOM_BYTES, chunk_bytes=1000)
"""Hardly anything waits in memory, and that not for long."""
STRETCHES = [added(at, at + 3) for at in range(0, 303, 3)]
WAITS_S = 20.0

tables = st.lists(
    st.tuples(
        st.none() | st.sampled_from([f"k{number:02}" for number in range(40)]),
        st.sampled_from(["ann", "bob", "bad", "eve"]),
    ),
    max_size=60,
)


@dataclass
class ShutDestination(MemoryDestination):
    """Answers nobody until it is open."""

    is_open: asyncio.Event = field(default_factory=asyncio.Event)

    async def write(self, plan: WritePlan, batch: Batch) -> BatchResult:
        self.was_asked.set()
        await self.is_open.wait()
        return await super().write(plan, batch)


@pytest.fixture
def spools(tmp_path: Path) -> Iterator[Spools]:
    """Room for more than a test takes."""
    with Spools.open(replace(AT_ONCE, directory=tmp_path), SystemClock()) as opened:
        yield opened


async def test_reading_comes_to_its_end_before_anything_is_taken_and_all_comes_in_order(spools: Spools) -> None:
    with closing(_belt(spools)) as belt:
        async with asyncio.timeout(WAITS_S):
            await belt.carry(_reading())
            assert spools.taken_bytes > 0

            taken = [some async for some in belt.changes()]

    assert rows(taken) == rows(STRETCHES)
    assert spools.taken_bytes == 0


async def test_order_is_the_same_where_both_go_on_at_once(spools: Spools) -> None:
    with closing(_belt(spools)) as belt:
        async with asyncio.timeout(WAITS_S), asyncio.TaskGroup() as tasks:
            taking = tasks.create_task(_taken(belt, slowly=True))
            await belt.carry(_reading())

    assert rows(taking.result()) == rows(STRETCHES)


async def test_reading_whose_rows_are_taken_at_once_never_comes_near_the_disk(tmp_path: Path) -> None:
    terms = replace(AT_ONCE, after_s=60.0, directory=tmp_path / "missing")
    refused = _refusals("disk")
    with Spools.open(terms, SystemClock()) as spools, closing(_belt(spools)) as belt:
        async with asyncio.timeout(WAITS_S), asyncio.TaskGroup() as tasks:
            taking = tasks.create_task(_taken(belt))
            await belt.carry(_reading())

    assert rows(taking.result()) == rows(STRETCHES)
    assert _refusals("disk") == refused


async def test_reading_waits_for_a_while_at_a_time_before_rows_go_to_the_disk(tmp_path: Path) -> None:
    clock = SetClock()
    with (
        Spools.open(replace(AT_ONCE, after_s=3.0, directory=tmp_path), clock) as spools,
        closing(_belt(spools)) as belt,
    ):
        async with asyncio.timeout(WAITS_S), asyncio.TaskGroup() as tasks:
            carrying = tasks.create_task(belt.carry(_reading()))
            _, waiting = await asyncio.wait({carrying}, timeout=0.5)
            before = spools.taken_bytes
            clock.seconds += 0.06

        assert (before, waiting) == (0, {carrying})
        assert spools.taken_bytes > 0


async def test_many_short_waits_are_a_long_one(tmp_path: Path) -> None:
    clock = SetClock()
    with (
        Spools.open(replace(AT_ONCE, after_s=3.0, directory=tmp_path), clock) as spools,
        closing(_belt(spools)) as belt,
    ):
        async with asyncio.timeout(WAITS_S), asyncio.TaskGroup() as tasks:
            tasks.create_task(belt.carry(_reading()))
            taking = belt.changes()
            for _ in range(65):
                await anext(taking)
                await asyncio.sleep(0.001)
                clock.seconds += 0.049

        assert spools.taken_bytes > 0


async def test_failure_of_the_reading_comes_behind_the_last_row(spools: Spools) -> None:
    taken: list[Changes] = []
    with closing(_belt(spools)) as belt:
        async with asyncio.timeout(WAITS_S):
            await belt.carry(_reading(SourceUnavailable("gone")))

            with pytest.raises(SourceUnavailable, match="gone"):
                await _taken(belt, taken)

    assert rows(taken) == rows(STRETCHES)


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        (replace(AT_ONCE, run_bytes=3000), "run_full"),
        (replace(AT_ONCE, total_bytes=3000), "process_full"),
        (replace(AT_ONCE, directory=Path("/nowhere/at/all")), "disk"),
        (replace(AT_ONCE, directory=Path("/proc")), "disk"),
    ],
    ids=["run full", "process full", "no directory", "read-only"],
)
async def test_reading_that_finds_no_room_waits_says_so_once_and_loses_nothing(terms: SpoolTerms, reason: str) -> None:
    before = _refusals(reason)
    with Spools.open(terms, SystemClock()) as spools, closing(_belt(spools)) as belt:
        async with asyncio.timeout(WAITS_S), asyncio.TaskGroup() as tasks:
            carrying = tasks.create_task(belt.carry(_reading()))
            _, waiting = await asyncio.wait({carrying}, timeout=0.5)
            taken = await _taken(belt)

    assert waiting == {carrying}
    assert rows(taken) == rows(STRETCHES)
    assert _refusals(reason) == before + 1


async def test_chunk_that_cannot_be_read_back_sends_the_run_to_its_source_again(tmp_path: Path) -> None:
    terms = replace(AT_ONCE, directory=tmp_path)
    with NamedSpools.open(terms, SystemClock()) as spools, closing(_belt(spools)) as belt:
        async with asyncio.timeout(WAITS_S):
            await belt.carry(_reading())
            (tmp_path / "spool").write_bytes(b"")

            with pytest.raises(SourceUnavailable) as caught:
                await _taken(belt)

    assert caught.value.code == SourceUnavailable.code


async def test_warehouse_is_left_while_nothing_was_delivered_yet(spools: Spools) -> None:
    destination = ShutDestination()
    world = World(people(2000), destination, spools=spools)
    left = asyncio.Event()
    route = replace(await world.route(RunKind.INCREMENTAL), leave_warehouse=_setting(left))

    async with asyncio.timeout(WAITS_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(walk(route))
        await left.wait()
        delivered = list(destination.applied)
        destination.is_open.set()

    assert delivered == []
    assert sorted(row.key for row in destination.applied) == [(key,) for key, _ in people(2000)]
    assert (world.ledger.books.delivered, spools.taken_bytes) == (2000, 0)


async def test_lines_that_keys_are_yet_to_be_cut_from_take_room() -> None:
    lines = b"\n".join(b"x" * ROOM_BYTES + b"\t%d" % number for number in range(3))
    nothing = added(0, 0).columns
    unchanged = [
        PlainUpdates(LineKeys(lines, at, at + ROOM_BYTES + 3, 1), (), nothing, ()) for at in (0, ROOM_BYTES + 3)
    ]

    async def reading() -> AsyncIterator[Changes]:
        for some in unchanged:
            yield some

    with closing(Belt(None, SENDS)) as belt:
        async with asyncio.timeout(WAITS_S), asyncio.TaskGroup() as tasks:
            carrying = tasks.create_task(belt.carry(reading()))
            _, waiting = await asyncio.wait({carrying}, timeout=0.2)
            taken = await _taken(belt)

    assert waiting == {carrying}
    assert [change.known.key for some in taken for change in some if change.known] == [("0",), ("1",)]


async def test_cancelled_run_drops_what_waits(spools: Spools, tmp_path: Path) -> None:
    destination = ShutDestination()
    world = World(people(2000), destination, spools=spools)
    left = asyncio.Event()
    route = replace(await world.route(RunKind.INCREMENTAL), leave_warehouse=_setting(left))

    async with asyncio.timeout(WAITS_S), asyncio.TaskGroup() as tasks:
        stopping = tasks.create_task(_stopped(walk(route)))
        await left.wait()
        held = len(open_in(tmp_path))
        world.tenure.stop(StopReason.CANCELLED)
        destination.is_open.set()
    await spools.run(lambda: None)

    assert stopping.result() is StopReason.CANCELLED
    assert (held, len(open_in(tmp_path)), spools.taken_bytes) == (1, 0, 0)


async def test_run_that_fails_while_it_reads_leaves_the_warehouse_and_the_disk(spools: Spools) -> None:
    world = World(people(2000), spools=spools)
    world.destination.answers = [CredentialsRefused("no")]

    with pytest.raises(CredentialsRefused):
        await world.run()

    assert spools.taken_bytes == 0


@given(
    tables,
    tables,
    st.sampled_from([mode for mode in SyncMode if mode is not SyncMode.APPEND]),
    st.sampled_from([RunKind.INCREMENTAL, RunKind.FULL]),
    st.integers(1, 4000),
)
@settings(max_examples=40, deadline=None)
def test_run_by_way_of_the_disk_sends_and_books_what_a_direct_one_does(
    first: list[tuple[str | None, str]],
    second: list[tuple[str | None, str]],
    mode: SyncMode,
    kind: RunKind,
    chunk_bytes: int,
) -> None:
    async def told(spools: Spools | None) -> tuple[object, ...]:
        world = World(first, MemoryDestination(rows_per_batch=4, always=_no_bad_ones), mode, max_delete_ratio=1.0)
        world.policy = DeliveryPolicy(strict=True)
        await world.run()
        world.rows, world.spools = second, spools
        await world.run(kind)
        sent = [(one.operation, one.idempotency_key, list(one.rows)) for one in world.destination.requests]
        return sent, world.ledger.books, world.ledger.letters, world.ledger.entries, world.ledger.position

    with Spools.open(replace(AT_ONCE, chunk_bytes=chunk_bytes), SystemClock()) as spools:
        assert asyncio.run(told(spools)) == asyncio.run(told(None))


async def _stopped(walking: Coroutine[object, object, bool]) -> StopReason:
    with pytest.raises(Stopped) as caught:
        await walking
    return caught.value.reason


def _belt(spools: Spools) -> Belt:
    return Belt(spools, SENDS)


async def _reading(error: TailraceError | None = None) -> AsyncIterator[Changes]:
    for some in STRETCHES:
        yield some
    if error is not None:
        raise error


async def _taken(belt: Belt, taken: list[Changes] | None = None, *, slowly: bool = False) -> list[Changes]:
    taken = [] if taken is None else taken
    async for some in belt.changes():
        taken.append(some)
        await asyncio.sleep(0.002 * slowly)
    return taken


def _setting(event: asyncio.Event) -> Callable[[], Awaitable[None]]:
    async def leave() -> None:
        event.set()

    return leave


def _no_bad_ones(batch: Batch) -> Sequence[RowOutcome]:
    return [rejected("BAD", "bad name") if b'"bad"' in row.body else DELIVERED for row in batch.rows]


def _refusals(reason: str) -> float:
    """How often that was counted."""
    return REGISTRY.get_sample_value("tailrace_spool_refusals_total", {"reason": reason}) or 0.0
