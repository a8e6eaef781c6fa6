"""Whatever gets in its way, a run that is resumed comes to the same as one that nothing stopped: in every mode."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.core.batches import Batch
from tailrace.core.errors import DestinationUnavailable, SourceUnavailable, TailraceError
from tailrace.core.readings import AnyReading, CursorReading, SnapshotReading
from tailrace.core.rows import DELIVERED, RowOutcome, rejected
from tailrace.core.runs import RunKind
from tailrace.core.syncs import SyncMode
from tests.pipeline.world import MemoryDestination, World

SNAPSHOT = SnapshotReading()
CURSOR = CursorReading(type="cursor", column="at", look_back_s=2)
Way: TypeAlias = tuple[SyncMode, AnyReading, bool]
BY_SNAPSHOT: list[Way] = [*((mode, SNAPSHOT, True) for mode in SyncMode), (SyncMode.APPEND, SNAPSHOT, False)]
BY_CURSOR: list[Way] = [
    *((mode, CURSOR, True) for mode in SyncMode if mode is not SyncMode.MIRROR),
    (SyncMode.APPEND, CURSOR, False),
]

names = st.builds("{}@{}".format, st.sampled_from(["ann", "bob", "bad"]), st.integers(1, 12))
odd_names = st.sampled_from(["ann", "bad"])
keys = st.sampled_from([f"k{number}" for number in range(25)])
tables = st.dictionaries(keys, names | odd_names, max_size=25)
strangers = st.lists(st.tuples(st.none() | st.just("k3"), st.sampled_from(["eve@3", "eve@5", "eve"])), max_size=4)
Story: TypeAlias = list[tuple[dict[str, str], list[tuple[str | None, str]], RunKind]]
stories = st.lists(
    st.tuples(tables, strangers, st.sampled_from([RunKind.INCREMENTAL, RunKind.FULL])), min_size=1, max_size=3
)
troubled = st.lists(st.integers(0, 15), max_size=3)


@dataclass
class Trouble:
    """Answers until it is time to be out of order."""

    good_answers: int

    def __call__(self, batch: Batch) -> Sequence[RowOutcome]:
        self.good_answers -= 1
        if self.good_answers < 0:
            raise DestinationUnavailable("down")
        return refuses_bad(batch)


def refuses_bad(batch: Batch) -> Sequence[RowOutcome]:
    """Rows whose name begins with bad are rejected."""
    return [rejected("BAD", "no") if b'"bad' in row.body else DELIVERED for row in batch.rows]


def a_world(way: Way) -> World:
    mode, reading, is_keyed = way
    destination = MemoryDestination(rows_per_batch=3, always=refuses_bad)
    world = World([], destination, mode=mode, reading=reading, is_keyed=is_keyed, window_rows=6)
    world.max_delete_ratio = 1.0
    return world


async def tell(world: World, versions: list[list[tuple[str | None, str]]], kinds: list[RunKind]) -> World:
    """Run after run, none of them disturbed."""
    for rows, kind in zip(versions, kinds, strict=True):
        world.rows = rows
        await world.run(kind)
    return world


async def tell_disturbed(
    world: World, versions: list[list[tuple[str | None, str]]], kinds: list[RunKind], troubles: list[int]
) -> World:
    """More runs, each interrupted as often as there are troubles, by destination and source in turn."""
    for rows, kind in zip(versions, kinds, strict=True):
        world.rows = rows
        is_resumed = False
        for trouble in troubles:
            if not await _stumbles(world, kind, trouble, is_resumed=is_resumed):
                break
            is_resumed = True
        else:
            await world.run(kind, resume=is_resumed)
    return world


async def _stumbles(world: World, kind: RunKind, trouble: int, *, is_resumed: bool) -> bool:
    """Run until the trouble comes; False where the run got to its end before."""
    world.destination.always = Trouble(trouble) if trouble % 2 else refuses_bad
    world.warehouse.error = None if trouble % 2 else SourceUnavailable("lost")
    world.warehouse.error_after = world.warehouse.blocks_read + trouble // 6
    try:
        await world.run(kind, resume=is_resumed)
    except TailraceError:
        return True
    else:
        return False
    finally:
        world.destination.always, world.warehouse.error = refuses_bad, None


def named(way: Way) -> str:
    return f"{way[0]}-{way[1].type}-{'keyed' if way[2] else 'keyless'}"


def read_in(story: Story) -> tuple[list[list[tuple[str | None, str]]], list[RunKind]]:
    """What each run of a story finds, and its kind."""
    return [[*table.items(), *more] for table, more, _ in story], [kind for _, _, kind in story]


@pytest.mark.parametrize("way", BY_SNAPSHOT, ids=named)
@settings(max_examples=25, deadline=None)
@given(stories, troubled)
def test_interrupted_runs_come_to_the_same_as_undisturbed_ones(way: Way, story: Story, troubles: list[int]) -> None:
    versions, kinds = read_in(story)

    calm = asyncio.run(tell(a_world(way), versions, kinds))
    disturbed = asyncio.run(tell_disturbed(a_world(way), versions, kinds, troubles))

    assert disturbed.destination.holds == calm.destination.holds
    assert Counter(disturbed.destination.events) == Counter(calm.destination.events)
    assert disturbed.ledger.books == calm.ledger.books
    assert disturbed.ledger.letters == calm.ledger.letters
    assert disturbed.ledger.entries == calm.ledger.entries


@pytest.mark.parametrize("way", BY_CURSOR, ids=named)
@settings(max_examples=25, deadline=None)
@given(stories, troubled)
def test_interrupted_run_by_a_cursor_comes_to_the_same_and_leaves_more_to_look_back_at(
    way: Way, story: Story, troubles: list[int]
) -> None:
    versions, kinds = read_in(story)

    calm = asyncio.run(tell(a_world(way), versions, kinds))
    before = asyncio.run(tell(a_world(way), versions[:-1], kinds[:-1]))
    disturbed = asyncio.run(tell_disturbed(before, versions[-1:], kinds[-1:], troubles))

    assert disturbed.destination.holds == calm.destination.holds
    assert Counter(disturbed.destination.events) == Counter(calm.destination.events)
    assert disturbed.ledger.books == calm.ledger.books
    assert disturbed.ledger.letters == calm.ledger.letters
    assert disturbed.ledger.entries.items() >= calm.ledger.entries.items()
    assert (disturbed.ledger.watermark or "") <= (calm.ledger.watermark or "")
