"""Mechanisms that nothing else would miss at once."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from uuid import UUID

import pytest

from tailrace.core.batches import Batch
from tailrace.core.clock import SystemClock
from tailrace.core.errors import DestinationInvalid, StoreUnavailable
from tailrace.core.rows import DELIVERED, RowOutcome
from tailrace.core.runs import RunKind
from tailrace.pipeline.pace import Limits, Pacer
from tailrace.pipeline.tenure import Tenure
from tests.pipeline.world import Answer, MemoryDestination, NoLimits, World, people


class ForgetsNothing(NoLimits):
    """A store that cannot be told that slots are free."""

    async def release_slots(self, scope: str, token: UUID) -> None:
        raise StoreUnavailable("down")


async def test_two_executors_do_not_try_again_at_the_same_moment() -> None:
    route = await World(people(1)).route(RunKind.INCREMENTAL)

    waits = {replace(route.flight.deliverer, random=Random(seed))._backoff_s(3) for seed in range(20)}

    assert len(waits) == 20


async def test_resumed_run_sends_what_was_under_way_in_the_same_batches() -> None:
    smooth = World(people(200), MemoryDestination(rows_per_batch=7))
    broken = World(people(200), MemoryDestination(rows_per_batch=7))
    broken.destination.always = fails_at(broken, request=9)

    await smooth.run()
    with pytest.raises(DestinationInvalid):
        await broken.run()
    broken.destination.always = None
    await broken.run(resume=True)

    assert keys(broken) == keys(smooth)


async def test_store_that_fails_as_a_slot_is_given_back_undoes_no_delivery() -> None:
    clock = SystemClock()
    pacer = Pacer(Limits("crm", max_in_flight=1), ForgetsNothing(), clock)
    tenure = Tenure(clock, until=clock.monotonic() + 60.0)

    async with asyncio.timeout(5.0):
        async with pacer.turn(tenure):
            pass
        async with pacer.turn(tenure):
            pass


def fails_at(world: World, *, request: int) -> Answer:
    def answer(batch: Batch) -> Sequence[RowOutcome]:
        if len(world.destination.requests) == request:
            raise DestinationInvalid("somebody has to mend it")
        return [DELIVERED] * len(batch.rows)

    return answer


def keys(world: World) -> set[str]:
    return {batch.idempotency_key for batch in world.destination.requests}
