"""Replays: letters are handed to one run, and come back or are resolved with it."""

import asyncio

import pytest

from tailrace.core.errors import Conflict, Invalid, NotFound, TailraceError
from tailrace.core.ids import DeadLetterId
from tailrace.core.rows import Operation, RowKey
from tailrace.core.runs import Books, RunKind, RunStatus, RunTrigger
from tailrace.core.settlements import NewDeadLetter, Position, Settlement, dedupe_key_of_content
from tailrace.store.dead_letters import LetterState, Resolution, end_replay
from tailrace.store.replays import MOST_ATTEMPTS, ReplayRequest, begin_replay
from tailrace.store.runs import Runs
from tailrace.testing.eventually import eventually
from tests.store.conftest import A_WORKSPACE, Stage
from tests.store.letters import ELSEWHERE, Grave, announce, another_sync, replays


@pytest.fixture
def grave(stage: Stage) -> Grave:
    return Grave(stage)


async def replay_in_vain(grave: Grave, key: str, *, times: int) -> None:
    for _ in range(times):
        await grave.claim_run(await grave.replay([await grave.letter_of(key)]))
        await grave.bury(key)
        await grave.finish()
        await grave.database.execute("UPDATE dead_letters SET replayed_at = replayed_at - interval '1 hour'")


async def test_replay_is_a_run_that_has_the_letters(grave: Grave) -> None:
    ids = await grave.bury("10", "2", "left")
    await grave.finish()

    run_id = await grave.replay(ids[:2], by="ann")

    run = await Runs(grave.database).get(A_WORKSPACE, run_id)
    assert (run.kind, run.trigger, run.requested_by) == (RunKind.REPLAY, RunTrigger.REPLAY, "ann")
    assert [await grave.state(letter_id) for letter_id in ids] == ["replaying", "replaying", "open"]
    assert await grave.letters.keys_of_replay(run_id) == [RowKey(("10",)), RowKey(("2",))]
    assert await grave.database.fetchval("SELECT count(*) FROM outbox WHERE key = $1", run_id) == 1


async def test_letters_are_resolved_by_delivery_and_the_others_open_again(grave: Grave) -> None:
    delivered, refused, untouched = ids = await grave.bury("a", "b", "c")
    await grave.finish()
    run_id = await grave.replay(ids)

    await grave.claim_run(run_id)
    await grave.deliver("a")
    await grave.bury("b")
    keys_left = await grave.letters.keys_of_replay(run_id)
    await grave.finish()

    assert keys_left == [RowKey(("c",))]
    assert [await grave.state(letter_id) for letter_id in ids] == ["resolved", "open", "open"]
    assert (await grave.letters.get(A_WORKSPACE, delivered)).resolution == "replayed"
    assert (await grave.letters.get(A_WORKSPACE, refused)).attempts == 2
    assert (await grave.letters.get(A_WORKSPACE, untouched)).attempts == 1


async def test_failed_replay_gives_all_letters_back(grave: Grave) -> None:
    ids = await grave.bury("a", "b")
    await grave.finish()
    await grave.claim_run(await grave.replay(ids))

    await grave.finish(RunStatus.FAILED)

    assert [await grave.state(letter_id) for letter_id in ids] == ["open", "open"]


async def test_active_run_is_in_the_way_and_named(grave: Grave) -> None:
    ids = await grave.bury("a")
    assert grave.claim is not None

    with pytest.raises(Conflict) as refused:
        await grave.replay(ids)

    assert (refused.value.code, refused.value.existing_id) == ("RUN_ACTIVE", grave.claim.lease.run_id)
    assert await grave.state(ids[0]) == LetterState.OPEN


async def test_replay_in_progress_is_named(grave: Grave) -> None:
    ids = await grave.bury("a")
    await grave.finish()
    run_id = await grave.replay(ids)

    with pytest.raises(Conflict) as refused:
        await grave.replay(ids)

    assert (refused.value.code, refused.value.existing_id) == ("REPLAYING", run_id)


async def test_letters_of_several_syncs_are_tried_by_a_run_of_each(grave: Grave) -> None:
    other = await another_sync(grave)
    theirs = await other.bury("b")
    ours = await grave.bury("a", "c")
    await other.finish()
    await grave.finish()
    request = ReplayRequest(A_WORKSPACE, [ours[1], theirs[0], ours[0]], "ann")

    async with grave.database.transaction() as connection:
        runs = [replay.run_id for replay in await replays(grave.database).start(connection, request, announce)]

    keys = [await grave.letters.keys_of_replay(run_id) for run_id in runs]
    assert keys == [[RowKey(("a",)), RowKey(("c",))], [RowKey(("b",))]]
    assert [await grave.state(letter_id) for letter_id in (*ours, *theirs)] == ["replaying"] * 3


async def test_none_is_replayed_where_one_sync_has_a_run(grave: Grave) -> None:
    ours = await grave.bury("a")
    await grave.finish()
    other = await another_sync(grave)
    theirs = await other.bury("b")

    with pytest.raises(Conflict) as refused:
        await grave.replay([*ours, *theirs])

    assert refused.value.code == "RUN_ACTIVE"
    assert [await grave.state(letter_id) for letter_id in (*ours, *theirs)] == ["open", "open"]


async def test_row_that_failed_too_often_is_not_tried_again(grave: Grave) -> None:
    ids = await grave.bury("a", "b")
    await grave.finish()
    await grave.database.execute("UPDATE dead_letters SET attempts = $2 WHERE id = $1", ids[0], MOST_ATTEMPTS)

    with pytest.raises(Conflict, match=ids[0]) as refused:
        await grave.replay(ids)
    await grave.replay(ids[1:])

    assert refused.value.code == "REPLAY_EXHAUSTED"
    assert ids[1] not in refused.value.message


async def test_always_failing_row_is_replayed_a_bounded_number_of_times(grave: Grave) -> None:
    ids = await grave.bury("a")
    await grave.finish()
    await replay_in_vain(grave, "a", times=MOST_ATTEMPTS - 1)

    with pytest.raises(Conflict) as refused:
        await grave.replay(ids)

    assert refused.value.code == "REPLAY_EXHAUSTED"
    assert (await grave.letters.get(A_WORKSPACE, ids[0])).attempts == MOST_ATTEMPTS


async def test_row_that_fails_again_and_again_has_to_wait_longer_each_time(grave: Grave) -> None:
    ids = await grave.bury("a", "b")
    await grave.finish()
    await replay_in_vain(grave, "a", times=3)
    await grave.claim_run(await grave.replay([ids[0]]))
    await grave.bury("a")
    await grave.finish()

    with pytest.raises(Conflict, match="wait for 60 s") as refused:
        await grave.replay(ids)
    await grave.database.execute("UPDATE dead_letters SET replayed_at = replayed_at - interval '61 seconds'")
    await grave.replay(ids)

    assert refused.value.code == "REPLAY_TOO_SOON"


async def test_row_without_a_key_cannot_be_read_again(grave: Grave) -> None:
    letter = NewDeadLetter(
        dedupe_key=dedupe_key_of_content(b"{}", 0),
        row_key=None,
        operation=Operation.UPSERT,
        error_code="NULL_KEY",
        message="the key is NULL",
        record_keys={"id": None},
        payload=b"{}",
    )
    await grave.settle(Settlement(Position(), Books(), letters=[letter]))
    await grave.finish()

    with pytest.raises(Conflict, match="no key") as refused:
        await grave.replay(grave.told)

    assert refused.value.code == "LETTER_WITHOUT_KEY"


async def test_resolved_letter_is_not_replayed(grave: Grave) -> None:
    ids = await grave.bury("a")
    await grave.finish()
    async with grave.database.transaction() as connection:
        await grave.letters.resolve(connection, A_WORKSPACE, ids, Resolution("skipped", "ann"))

    with pytest.raises(Conflict, match=ids[0]) as refused:
        await grave.replay(ids)

    assert refused.value.code == "LETTER_NOT_OPEN"


@pytest.mark.parametrize(
    ("change", "expected"),
    [("enabled = false", Invalid), ("deleted_at = now()", NotFound)],
    ids=["paused", "deleted"],
)
async def test_sync_that_is_off_is_not_replayed(grave: Grave, change: str, expected: type[TailraceError]) -> None:
    ids = await grave.bury("a")
    await grave.finish()
    await grave.database.execute(f"UPDATE syncs SET {change}")

    with pytest.raises(expected):
        await grave.replay(ids)

    assert await grave.state(ids[0]) == LetterState.OPEN


async def test_letters_of_another_workspace_are_unknown(grave: Grave) -> None:
    ids = await grave.bury("a")
    await grave.finish()

    async with grave.database.transaction() as connection:
        with pytest.raises(NotFound, match=ids[0]):
            await replays(grave.database).start(connection, ReplayRequest(ELSEWHERE, ids, "eve"), announce)


async def test_one_of_many_replays_at_once_wins(grave: Grave) -> None:
    ids = await grave.bury(*(str(number) for number in range(10)))
    await grave.finish()

    answers = await asyncio.gather(
        *(grave.replay(ids if number % 2 else ids[::-1]) for number in range(8)), return_exceptions=True
    )

    won = [answer for answer in answers if not isinstance(answer, BaseException)]
    lost = [answer for answer in answers if isinstance(answer, Conflict)]
    assert (len(won), len(lost)) == (1, 7)
    assert {error.existing_id for error in lost} == set(won)
    assert await grave.database.fetchval("SELECT count(*) FROM runs WHERE kind = 'replay'") == 1


async def test_resolving_waits_for_a_replay_that_is_about_to_begin(grave: Grave) -> None:
    ids = await grave.bury("a")
    await grave.finish()

    async def resolve() -> None:
        async with grave.database.transaction() as theirs:
            await grave.letters.resolve(theirs, A_WORKSPACE, ids, Resolution("skipped", "bob"))

    async def waiting() -> int:
        count: int = await grave.database.fetchval("SELECT count(*)::int FROM pg_locks WHERE NOT granted")
        return count

    async with asyncio.timeout(10), grave.database.transaction() as connection:
        request = ReplayRequest(A_WORKSPACE, ids, "ann")
        [new] = await replays(grave.database).start(connection, request, announce)
        resolving = asyncio.gather(resolve(), return_exceptions=True)
        await eventually(waiting, 1)
    [refused] = await resolving

    assert isinstance(refused, Conflict)
    assert (refused.code, refused.existing_id) == ("REPLAYING", new.run_id)


async def test_letter_that_is_gone_meanwhile_stops_the_replay(grave: Grave) -> None:
    run_id = await grave.stage.start_run()

    async with grave.database.transaction() as connection:
        with pytest.raises(Conflict) as refused:
            await begin_replay(connection, [DeadLetterId("retl_dlq_none")], run_id)

    assert refused.value.code == "LETTER_NOT_OPEN"


async def test_ending_a_replay_twice_does_no_harm(grave: Grave) -> None:
    ids = await grave.bury("a", "b")
    await grave.finish()
    run_id = await grave.replay(ids)

    async with grave.database.transaction() as connection:
        opened = [await end_replay(connection, run_id), await end_replay(connection, run_id)]

    assert opened == [2, 0]
    assert await grave.state(ids[0]) == LetterState.OPEN
