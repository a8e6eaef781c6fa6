"""Limits that many processes share: never over the rate, never over the slots, whatever dies or jumps."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from tailrace.store.database import Database
from tailrace.store.limits import SharedLimits

SCOPE = "conn_crm"
PROCESSES = 4
RATE_PER_S = 200.0
BURST = 20


@pytest.fixture
def limits(database: Database) -> SharedLimits:
    return SharedLimits(database)


@pytest_asyncio.fixture
async def several(database_url: str) -> AsyncIterator[list[SharedLimits]]:
    """As several processes have them: each on a pool of its own."""
    async with AsyncExitStack() as stack:
        pools = [
            await stack.enter_async_context(Database.open(database_url, application_name="test", max_size=4))
            for _ in range(PROCESSES)
        ]
        # Connected before the clock counts: the first answer of a connection takes a while.
        await asyncio.gather(*(pool.fetchval("SELECT pg_sleep(0.1)") for pool in pools for _ in range(4)))
        yield [SharedLimits(pool) for pool in pools]


@dataclass(frozen=True, slots=True, order=True)
class Use:
    """A token, and the span of time in which the database let it be used."""

    earliest: float
    latest: float


async def spend(limits: SharedLimits, until: float, *, tokens: int) -> list[Use]:
    spent = []
    while (asked := time.monotonic()) < until:
        wait_s = await limits.reserve(SCOPE, tokens=tokens, rate_per_s=RATE_PER_S, burst=BURST)
        answered = time.monotonic()
        await asyncio.sleep(wait_s)
        spent += [Use(asked + wait_s, answered + wait_s)] * tokens
    return spent


def most_over_budget(spent: list[Use]) -> float:
    """By how many tokens the worst of all windows is over rate x T + burst for certain."""
    spent = sorted(spent)
    worst = float("-inf")
    for first, begin in enumerate(spent):
        end = begin.latest
        for count, use in enumerate(spent[first:], start=1):
            end = max(end, use.latest)
            worst = max(worst, count - RATE_PER_S * (end - begin.earliest) - BURST)
    return worst


@pytest.mark.parametrize("tokens", [1, 7], ids=["one by one", "in chunks"])
async def test_many_callers_together_keep_the_rate_in_every_window(several: list[SharedLimits], tokens: int) -> None:
    until = time.monotonic() + 3
    async with asyncio.TaskGroup() as tasks:
        spending = [tasks.create_task(spend(one, until, tokens=tokens)) for one in several for _ in range(4)]

    spent = [use for task in spending for use in task.result()]
    lasted_s = max(use.earliest for use in spent) - min(use.latest for use in spent)
    assert most_over_budget(spent) <= 0
    assert len(spent) >= 0.95 * RATE_PER_S * lasted_s


async def test_burst_is_free_and_the_next_token_is_not(limits: SharedLimits) -> None:
    waits = [await limits.reserve(SCOPE, tokens=1, rate_per_s=2, burst=3) for _ in range(5)]

    assert waits[:3] == [0, 0, 0]
    assert waits[3] == pytest.approx(0.5, abs=0.1)
    assert waits[4] == pytest.approx(1.0, abs=0.1)


async def test_scopes_do_not_touch_each_other(limits: SharedLimits) -> None:
    await limits.reserve(SCOPE, tokens=1, rate_per_s=0.01, burst=1)

    assert await limits.reserve("conn_other", tokens=1, rate_per_s=0.01, burst=1) == 0


async def test_more_tokens_than_a_burst_are_refused(limits: SharedLimits) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        await limits.reserve(SCOPE, tokens=3, rate_per_s=1, burst=2)


async def test_block_holds_everybody_back(several: list[SharedLimits]) -> None:
    first, second, *_ = several
    await first.reserve(SCOPE, tokens=1, rate_per_s=RATE_PER_S, burst=BURST)

    await first.block(SCOPE, 30)

    with_a_rate = await second.reserve(SCOPE, tokens=1, rate_per_s=RATE_PER_S, burst=BURST)
    without = await second.reserve(SCOPE, tokens=1, rate_per_s=None, burst=BURST)
    assert with_a_rate == pytest.approx(30, abs=1)
    assert without == pytest.approx(30, abs=1)


async def test_tokens_behind_a_block_are_paced(limits: SharedLimits) -> None:
    await limits.block(SCOPE, 10)

    waits = [await limits.reserve(SCOPE, tokens=1, rate_per_s=1, burst=2) for _ in range(4)]

    assert waits == pytest.approx([10, 10, 11, 12], abs=0.5)


async def test_shorter_block_does_not_end_a_longer_one(limits: SharedLimits) -> None:
    await limits.block(SCOPE, 60)
    await limits.block(SCOPE, 1)

    assert await limits.reserve(SCOPE, tokens=1, rate_per_s=None, burst=1) == pytest.approx(60, abs=1)


async def test_unblocked_scope_without_a_rate_does_not_wait(limits: SharedLimits) -> None:
    before_any = await limits.reserve(SCOPE, tokens=1, rate_per_s=None, burst=1)
    await limits.block(SCOPE, 0)
    after_a_past_one = await limits.reserve(SCOPE, tokens=1, rate_per_s=None, burst=1)

    assert (before_any, after_a_past_one) == (0, 0)


async def test_clock_that_jumps_back_starves_no_scope(limits: SharedLimits, database: Database) -> None:
    await limits.reserve(SCOPE, tokens=1, rate_per_s=10, burst=1)
    await limits.block(SCOPE, 1)
    hour = timedelta(hours=1)
    await database.execute("UPDATE rate_limits SET tat = tat + $1::interval, blocked_until = NULL", hour)

    ahead = await limits.reserve(SCOPE, tokens=1, rate_per_s=10, burst=1)
    await database.execute(
        "UPDATE rate_limits SET blocked_at = blocked_at + $1::interval, blocked_until = now() + $1::interval",
        hour,
    )
    blocked = await limits.reserve(SCOPE, tokens=1, rate_per_s=10, burst=1)

    assert max(ahead, blocked) < 90
    assert await limits.reserve(SCOPE, tokens=0, rate_per_s=None, burst=1) == 0


async def test_reservation_does_not_wait_for_the_disk(database: Database) -> None:
    limits = SharedLimits(database)
    await limits.reserve(SCOPE, tokens=1, rate_per_s=RATE_PER_S, burst=BURST)

    unflushed = 0
    for _ in range(50):
        await limits.reserve(SCOPE, tokens=1, rate_per_s=RATE_PER_S, burst=BURST)
        unflushed += await database.fetchval("SELECT (pg_current_wal_insert_lsn() > pg_current_wal_flush_lsn())::int")
    kept_on = await database.fetchval("SHOW synchronous_commit")

    assert unflushed > 0
    assert kept_on == "on"


async def work(limits: SharedLimits, at_work: Counter[UUID], seen: list[int], *, max_slots: int, until: float) -> None:
    """Take what there is, look how many are held at once by all, give it back."""
    token = uuid4()
    wanted = 1
    while time.monotonic() < until:
        wanted = wanted % 3 + 1
        at_work[token] = await limits.hold_slots(SCOPE, token, wanted=wanted, max_slots=max_slots, ttl_s=30)
        assert at_work[token] <= wanted
        seen.append(at_work.total())
        await asyncio.sleep(0)
        at_work[token] = 0
        await limits.release_slots(SCOPE, token)


async def test_slots_of_all_callers_never_exceed_the_most(several: list[SharedLimits]) -> None:
    at_work: Counter[UUID] = Counter()
    seen: list[int] = []
    until = time.monotonic() + 3

    async with asyncio.TaskGroup() as tasks:
        for one in several:
            for _ in range(3):
                tasks.create_task(work(one, at_work, seen, max_slots=5, until=until))

    assert max(seen) == 5
    assert len(seen) > 100


async def test_slots_are_counted_out_and_come_back(limits: SharedLimits) -> None:
    ours, theirs = uuid4(), uuid4()

    first = await limits.hold_slots(SCOPE, ours, wanted=2, max_slots=3, ttl_s=30)
    second = await limits.hold_slots(SCOPE, theirs, wanted=2, max_slots=3, ttl_s=30)
    shrunk = await limits.hold_slots(SCOPE, ours, wanted=1, max_slots=3, ttl_s=30)
    grown = await limits.hold_slots(SCOPE, theirs, wanted=3, max_slots=3, ttl_s=30)
    await limits.release_slots(SCOPE, ours)
    whole = await limits.hold_slots(SCOPE, theirs, wanted=9, max_slots=3, ttl_s=30)

    assert (first, second, shrunk, grown, whole) == (2, 1, 1, 2, 3)


async def test_slots_of_a_crashed_holder_are_free_after_their_lease(limits: SharedLimits) -> None:
    crashed, survivor = uuid4(), uuid4()
    await limits.hold_slots(SCOPE, crashed, wanted=2, max_slots=2, ttl_s=0.4)

    while_leased = await limits.hold_slots(SCOPE, survivor, wanted=2, max_slots=2, ttl_s=30)
    await asyncio.sleep(0.5)
    afterwards = await limits.hold_slots(SCOPE, survivor, wanted=2, max_slots=2, ttl_s=30)
    come_back = await limits.hold_slots(SCOPE, crashed, wanted=2, max_slots=2, ttl_s=30)

    assert (while_leased, afterwards, come_back) == (0, 2, 0)


async def test_slots_held_for_longer_than_anybody_may_are_free(limits: SharedLimits) -> None:
    crashed_before_the_clock_jumped_back, survivor = uuid4(), uuid4()
    await limits.hold_slots(SCOPE, crashed_before_the_clock_jumped_back, wanted=2, max_slots=2, ttl_s=3600)

    held = await limits.hold_slots(SCOPE, survivor, wanted=2, max_slots=2, ttl_s=30)

    assert held == 2


async def test_renewed_slots_stay(limits: SharedLimits) -> None:
    holder, other = uuid4(), uuid4()
    await limits.hold_slots(SCOPE, holder, wanted=1, max_slots=1, ttl_s=0.3)

    renewed = await limits.hold_slots(SCOPE, holder, wanted=1, max_slots=1, ttl_s=30)
    await asyncio.sleep(0.4)

    assert renewed == 1
    assert await limits.hold_slots(SCOPE, other, wanted=1, max_slots=1, ttl_s=30) == 0


async def test_lowered_most_is_kept_at_the_next_renewal(limits: SharedLimits) -> None:
    holder = uuid4()
    await limits.hold_slots(SCOPE, holder, wanted=5, max_slots=5, ttl_s=30)

    held = await limits.hold_slots(SCOPE, holder, wanted=5, max_slots=2, ttl_s=30)

    assert held == 2
    assert await limits.hold_slots(SCOPE, uuid4(), wanted=5, max_slots=2, ttl_s=30) == 0
