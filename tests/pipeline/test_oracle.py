"""Whatever rows come and whatever the destination answers: nothing is lost, nothing invented, the books balance."""

import asyncio
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.core.batches import Batch
from tailrace.core.errors import BatchRefused, DestinationUnavailable, InDoubt, TailraceError, Throttled
from tailrace.core.rows import DELIVERED, RowOutcome, rejected, retry
from tailrace.core.runs import RunKind
from tests.pipeline.world import MemoryDestination, World, name_in

WINDOW_ROWS = 12
RUNS_PER_STORY = 6

names = st.sampled_from(["ann", "bob", "bad", "eve"])
tables = st.lists(st.tuples(st.none() | st.sampled_from([f"k{number}" for number in range(30)]), names), max_size=40)


class Moods:
    """A destination that answers as it likes, and refuses rows named bad for ever."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.is_calm = False

    def __call__(self, batch: Batch) -> Sequence[RowOutcome]:
        mood = 1.0 if self.is_calm else self.chance.random()
        self._maybe_fail(mood)
        is_bad = [name_in(row) == "bad" for row in batch.rows]
        if mood < 0.5 and any(is_bad):
            raise BatchRefused("one of them")
        return [self._outcome(bad=bad, mood=mood) for bad in is_bad]

    def _maybe_fail(self, mood: float) -> None:
        errors: list[TailraceError] = [
            DestinationUnavailable("down"),
            InDoubt("lost"),
            Throttled("later", retry_after_s=0.0),
        ]
        if mood < 0.3:
            raise self.chance.choice(errors)

    def _outcome(self, *, bad: bool, mood: float) -> RowOutcome:
        if bad:
            return rejected("BAD", "bad name")
        return retry("LOCKED", "locked") if mood < 0.6 and self.chance.random() < 0.2 else DELIVERED


async def tell_story(versions: list[list[tuple[str | None, str]]], seed: int) -> World:
    """Run after run over changing rows, interrupted as it comes, then a calm one over the last version."""
    moods = Moods(seed)
    world = World([], MemoryDestination(rows_per_batch=4, always=moods), window_rows=WINDOW_ROWS)
    for rows in versions:
        world.rows = rows
        sent_before = len(world.destination.applied)
        interruptions = await run_to_end(world)
        assert world.ledger.books.balance
        assert world.ledger.books.read == len(rows)
        sent = len(world.destination.applied) - sent_before
        assert sent - world.ledger.books.delivered <= interruptions * WINDOW_ROWS
    moods.is_calm = True
    world.ledger.letters = {key: letter for key, letter in world.ledger.letters.items() if letter.error_code == "BAD"}
    await world.run()
    return world


async def run_to_end(world: World) -> int:
    """Resume until the run ends by itself; gives how often it was interrupted."""
    is_resumed = False
    interruptions = 0
    while True:
        try:
            await world.run(resume=is_resumed)
        except TailraceError:
            is_resumed = True
            interruptions += 1
        else:
            return interruptions


@settings(max_examples=60, deadline=None)
@given(st.lists(tables, min_size=1, max_size=RUNS_PER_STORY), st.integers(0, 2**32))
def test_every_story_ends_with_the_destination_in_step(versions: list[list[tuple[str | None, str]]], seed: int) -> None:
    world = asyncio.run(tell_story(versions, seed))

    keys = {key for key, _ in versions[-1] if key is not None}
    dead = {letter.row_key[0] for letter in world.ledger.letters.values() if letter.row_key}
    ever = {(key, name) for rows in versions for key, name in rows}
    assert {key for (key,) in world.destination.holds} | dead >= keys
    assert {(row.key[0], name_in(row)) for row in world.destination.applied} <= ever
    assert world.ledger.books.balance


@pytest.mark.parametrize("kind", [RunKind.INCREMENTAL, RunKind.FULL])
async def test_an_empty_query_is_a_run_like_any_other(kind: RunKind) -> None:
    world = World([])

    books = await world.run(kind)

    assert (books.read, books.balance) == (0, True)
