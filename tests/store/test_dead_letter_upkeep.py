"""Upkeep of dead letters: seen once each, counted, let go of when their replay is over, forgotten in time."""

import asyncio
from datetime import timedelta

import pytest

from tailrace.core.ids import DeadLetterId
from tailrace.events.run_events import run_cancelled_in_queue
from tailrace.store.dead_letter_upkeep import KEPT_DAYS, DeadLetterUpkeep, Noticed
from tailrace.store.dead_letters import LetterState, Resolution
from tailrace.store.runs import CancelRequest, Runs
from tests.store.conftest import A_WORKSPACE, Stage
from tests.store.letters import INVALID, Grave, another_sync


@pytest.fixture
def grave(stage: Stage) -> Grave:
    return Grave(stage)


@pytest.fixture
def upkeep(grave: Grave) -> DeadLetterUpkeep:
    return DeadLetterUpkeep(grave.database)


async def resolve_days_ago(grave: Grave, letter_id: DeadLetterId, days: float) -> None:
    async with grave.database.transaction() as connection:
        await grave.letters.resolve(connection, A_WORKSPACE, [letter_id], Resolution("skipped", "ann"))
    await grave.database.execute(
        "UPDATE dead_letters SET resolved_at = resolved_at - $2::interval WHERE id = $1",
        letter_id,
        timedelta(days=days),
    )


async def test_letters_are_noticed_once_however_often_they_are_told_of(grave: Grave, upkeep: DeadLetterUpkeep) -> None:
    ids = await grave.bury("a", "b") + await grave.bury("c", code="RATE_LIMIT")

    first = await upkeep.notice(ids)
    again = await upkeep.notice(ids)

    sync_id = grave.stage.sync_id
    assert sorted(first, key=lambda entry: entry.letters) == [
        Noticed(A_WORKSPACE, sync_id, "RATE_LIMIT", 1),
        Noticed(A_WORKSPACE, sync_id, INVALID, 2),
    ]
    assert again == []


async def test_letters_that_no_event_told_of_are_found(grave: Grave, upkeep: DeadLetterUpkeep) -> None:
    ids = await grave.bury("a", "b", "c")
    await upkeep.notice(ids[:1])

    found = await upkeep.notice_oldest()

    assert [entry.letters for entry in found] == [2]
    assert await upkeep.notice_oldest() == []


async def test_each_letter_is_noticed_by_one_of_many_managers(grave: Grave, upkeep: DeadLetterUpkeep) -> None:
    ids = await grave.bury(*(str(number) for number in range(100)))

    told = await asyncio.gather(
        *(upkeep.notice_oldest() for _ in range(3)), *(upkeep.notice(ids[number::4]) for number in range(4))
    )

    left = await upkeep.notice_oldest()
    assert sum(entry.letters for some in [*told, left] for entry in some) == 100


async def test_ids_that_name_no_letter_are_told(grave: Grave, upkeep: DeadLetterUpkeep) -> None:
    [known] = await grave.bury("a")
    stranger = DeadLetterId("retl_dlq_none")

    assert await upkeep.unknown([known, stranger]) == {stranger}


async def test_letters_of_a_deleted_sync_are_resolved_and_no_others(grave: Grave, upkeep: DeadLetterUpkeep) -> None:
    other = await another_sync(grave)
    theirs = await other.bury("b")
    ours = await grave.bury("a", "c")
    await grave.finish()
    run_id = await grave.replay(ours[:1])
    await grave.database.execute("UPDATE syncs SET deleted_at = now() WHERE id = $1", grave.stage.sync_id)

    closed = await upkeep.close_deleted()

    letter = await grave.letters.get(A_WORKSPACE, ours[1])
    assert (closed, await upkeep.close_deleted()) == (1, 0)
    assert (letter.state, letter.resolution, letter.resolved_by) == ("resolved", "sync_deleted", "tailrace")
    assert await grave.state(ours[0]) == LetterState.REPLAYING, run_id
    assert await grave.state(theirs[0]) == LetterState.OPEN


async def test_open_letters_are_counted_by_code(grave: Grave, upkeep: DeadLetterUpkeep) -> None:
    ids = await grave.bury("a", "b", "c") + await grave.bury("d", code="RATE_LIMIT")
    await resolve_days_ago(grave, ids[0], 0)
    await grave.finish()
    await grave.replay(ids[1:2])

    assert await upkeep.open_by_error_code() == {INVALID: 2, "RATE_LIMIT": 1}


async def test_letters_of_a_replay_cancelled_in_the_queue_are_open_again(grave: Grave) -> None:
    ids = await grave.bury("a", "b")
    await grave.finish()
    await grave.replay(ids)
    async with grave.database.transaction() as connection:
        await Runs(grave.database).request_cancel(
            connection, CancelRequest(A_WORKSPACE, grave.stage.sync_id, "ann"), run_cancelled_in_queue
        )

    assert [await grave.state(letter_id) for letter_id in ids] == [LetterState.OPEN, LetterState.OPEN]


async def test_letters_resolved_long_ago_are_forgotten(grave: Grave, upkeep: DeadLetterUpkeep) -> None:
    old, recent, still_open = await grave.bury("a", "b", "c")
    await resolve_days_ago(grave, old, KEPT_DAYS + 0.1)
    await resolve_days_ago(grave, recent, KEPT_DAYS - 0.1)

    pruned = await upkeep.prune()

    left = {row["id"] for row in await grave.database.fetch("SELECT id FROM dead_letters")}
    assert pruned == 1
    assert left == {recent, still_open}
