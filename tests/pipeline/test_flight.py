"""Two versions of a key are never under way together; everything else is sent side by side."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from tailrace.connector_kit.destination import WritePlan
from tailrace.core.batches import Batch, BatchResult
from tailrace.core.errors import DestinationUnavailable
from tailrace.core.readings import CursorReading
from tailrace.core.rows import RowKey
from tailrace.core.syncs import SyncMode
from tests.pipeline.world import MemoryDestination, World, name_in

VERSIONS = 5
CURSOR = CursorReading(type="cursor", column="at")


@dataclass
class SlowDestination(MemoryDestination):
    """Lets others overtake: the earlier a request comes, the longer it takes. Keeps the keys that met."""

    rows_per_batch: int = 1
    under_way: list[RowKey] = field(default_factory=list)
    met: list[RowKey] = field(default_factory=list)
    most: int = 0

    async def write(self, plan: WritePlan, batch: Batch) -> BatchResult:
        keys = [row.key for row in batch.rows]
        self.met += [key for key in keys if key in self.under_way]
        self.under_way += keys
        self.most = max(self.most, len(self.under_way))
        try:
            await asyncio.sleep(0.2 / (len(self.requests) + 1))
            return await super().write(plan, batch)
        finally:
            self.under_way = [key for key in self.under_way if key not in keys]


def versions_of(*keys: str) -> list[tuple[str | None, str]]:
    """Each key in several versions, one after another by the cursor."""
    return [(key, f"{key} v{at}@{at * 10 + n}") for at in range(VERSIONS) for n, key in enumerate(keys)]


def names(destination: SlowDestination, key: str) -> Sequence[str]:
    """What arrived of a key, in order."""
    return [name_in(row) for row in destination.applied if row.key == (key,)]


@pytest.mark.parametrize("mode", [SyncMode.UPSERT, SyncMode.APPEND])
async def test_versions_of_a_key_are_applied_one_after_another(mode: SyncMode) -> None:
    destination = SlowDestination()
    world = World(versions_of("a", "b", "c"), destination, mode=mode, reading=CURSOR)

    async with asyncio.timeout(20):
        await world.run()

    assert destination.met == []
    assert names(destination, "b") == [f"b v{at}@{at * 10 + 1}" for at in range(VERSIONS)]
    assert destination.most > 1


async def test_version_that_is_sent_again_holds_up_the_next() -> None:
    destination = SlowDestination(answers=[DestinationUnavailable("once")])
    world = World(versions_of("a"), destination, reading=CURSOR)

    async with asyncio.timeout(20):
        await world.run()

    assert names(destination, "a") == [f"a v{at}@{at * 10}" for at in range(VERSIONS)]


async def test_rows_whose_keys_come_once_do_not_wait_for_each_other() -> None:
    destination = SlowDestination()
    world = World([(f"{number:02}", "n") for number in range(12)], destination)

    async with asyncio.timeout(20):
        await world.run()

    assert destination.most > 1
