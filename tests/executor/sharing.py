"""Runs that two executors share, or one carries in several shards."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tailrace.core.ids import RunId
from tailrace.store.runs import Run
from tailrace.store.shards import Claim, Shards
from tailrace.store.timelines import ShardState, Timelines
from tests.executor.yard import Yard

SHARED: dict[str, float] = {"rows_per_shard": 250, "window_rows": 50}


@asynccontextmanager
async def two_executors(yard: Yard, **settings: float) -> AsyncIterator[None]:
    """Two executors that share runs of that size."""
    terms = SHARED | settings
    async with yard.executor(pod_name="a", **terms), yard.executor(pod_name="b", **terms):
        yield


async def shared(yard: Yard, **settings: float) -> Run:
    """A run from its start to its end, by two executors."""
    run_id = await yard.start()
    async with two_executors(yard, **settings):
        return await yard.ended(run_id)


async def shards_of(yard: Yard, run_id: RunId) -> list[ShardState]:
    """The shards of a run as they stand."""
    return list(await Timelines(yard.chassis.database).shards(run_id))


async def claimed(shards: Shards) -> Claim:
    """The shard that has waited longest, in the hands of the test."""
    claim = await shards.claim(owner="a test", ttl_s=60.0, grace_s=0.0)
    assert claim is not None
    return claim
