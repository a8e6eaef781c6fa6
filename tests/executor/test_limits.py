"""A destination's limits hold for all executors together, whatever runs they work on."""

import asyncio
from dataclasses import replace
from itertools import pairwise

from tailrace.core.runs import RunStatus
from tailrace.core.syncs import ManualSchedule
from tailrace.store.syncs import NewSync, Syncs
from tests.executor.sink import Sink
from tests.executor.yard import Yard

RATE_PER_S = 20
BURST = 5


async def limit(yard: Yard, column: str, value: float) -> None:
    """Set a limit of the destination."""
    await yard.chassis.database.execute(f"UPDATE connections SET {column} = $1 WHERE kind = 'destination'", value)


async def twin_of(yard: Yard) -> Yard:
    """Another sync between the same two ends."""
    sync = yard.sync
    new = NewSync(sync.workspace_id, "twin", sync.definition, ManualSchedule())
    return replace(yard, sync=await Syncs(yard.chassis.database).create(new))


async def run_both(yard: Yard) -> None:
    """A run of each of two syncs, on two executors."""
    twin = await twin_of(yard)
    run_ids = [await yard.start(), await twin.start()]
    async with yard.executor(executor_max_runs=1), yard.executor(executor_max_runs=1):
        runs = await asyncio.gather(*(yard.ended(run_id) for run_id in run_ids))
    assert [run.status for run in runs] == [RunStatus.SUCCEEDED] * 2


async def test_requests_of_two_executors_stay_within_the_rate(yard: Yard, sink: Sink) -> None:
    await yard.add_people(1, 200)
    await limit(yard, "requests_per_s", RATE_PER_S)

    await run_both(yard)

    spans = [
        (last - first, behind - ahead)
        for ahead, first in enumerate(sink.asked_at)
        for behind, last in enumerate(sink.asked_at)
        if behind > ahead
    ]
    assert sink.requests == 40
    assert all(requests <= span_s * RATE_PER_S + 2 * BURST for span_s, requests in spans)
    assert sink.asked_at[-1] - sink.asked_at[0] < 2 * 40 / RATE_PER_S


async def test_requests_of_two_executors_share_the_slots(yard: Yard, sink: Sink) -> None:
    await yard.add_people(1, 200)
    await limit(yard, "max_in_flight", 3)
    sink.delay_s = 0.01

    await run_both(yard)

    assert sink.most_in_flight == 3


async def test_everybody_is_silent_when_the_destination_asks_for_it(yard: Yard, sink: Sink) -> None:
    await yard.add_people(1, 100)
    await limit(yard, "requests_per_s", 1000)
    sink.busy_for_s = 1.0

    await run_both(yard)

    gaps = [later - earlier for earlier, later in pairwise(sink.asked_at)]
    assert max(gaps) > 0.9
    assert set(sink.times_by_id.values()) == {2}


async def test_batch_is_never_larger_than_the_window(yard: Yard, sink: Sink) -> None:
    await yard.add_people(1, 12)
    run_id = await yard.start()

    async with yard.executor(window_rows=4):
        await yard.ended(run_id)

    assert (len(sink.rows), sink.requests) == (12, 3)
