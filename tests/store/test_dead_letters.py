"""Dead letters for users: listed, counted, read, resolved, and none of another workspace's business."""

import asyncio
from collections import Counter
from datetime import datetime

import pytest

from tailrace.core.errors import Conflict, NotFound
from tailrace.core.ids import DeadLetterId
from tailrace.core.rows import RowKey
from tailrace.core.runs import Books
from tailrace.core.settlements import DedupeKey, Position, Settlement, dedupe_key
from tailrace.store.database import Within
from tailrace.store.dead_letters import SKIPPED, DeadLetters, LetterFilter, LetterState, Resolution
from tailrace.store.new_letters import PAYLOAD_LIMIT_BYTES
from tests.store.conftest import A_WORKSPACE, Stage
from tests.store.letters import BOX, ELSEWHERE, INVALID, Grave, a_letter, another_sync

FIXED = Resolution("fixed_upstream", "ann")
_READ = """
SELECT pg_stat_get_xact_tuples_returned(letters) + pg_stat_get_xact_tuples_fetched(letters)
FROM (VALUES ('dead_letters'::regclass)) AS told (letters)
"""


@pytest.fixture
def grave(stage: Stage) -> Grave:
    return Grave(stage)


async def resolve(grave: Grave, *ids: DeadLetterId, resolution: Resolution = FIXED) -> datetime:
    async with grave.database.transaction() as connection:
        return (await grave.letters.resolve(connection, A_WORKSPACE, ids, resolution))[1]


async def walk(grave: Grave, *, page: int, between: list[str]) -> list[DeadLetterId]:
    """List everything page by page, while a row more dies between any two pages."""
    seen: list[DeadLetterId] = []
    after = None
    while letters := await grave.letters.list(A_WORKSPACE, LetterFilter(), after=after, limit=page):
        seen += [letter.id for letter in letters]
        after = (letters[-1].first_seen_at, letters[-1].id)
        await grave.bury(*between[:1])
        del between[:1]
    return seen


async def test_letter_tells_what_is_known_but_not_the_row(grave: Grave) -> None:
    [letter_id] = await grave.bury("cust-7")

    letter = await grave.letters.get(A_WORKSPACE, letter_id)

    assert grave.claim is not None
    assert (letter.sync_id, letter.run_id) == (grave.stage.sync_id, grave.claim.lease.run_id)
    assert (letter.error_code, letter.message, letter.record_keys) == (INVALID, "bad email", {"id": "cust-7"})
    assert (letter.state, letter.attempts, letter.operation) == (LetterState.OPEN, 1, "upsert")
    assert "?" not in str(letter)


async def test_letters_are_listed_newest_first(grave: Grave) -> None:
    ids = [(await grave.bury(key))[0] for key in ("a", "b", "c")]

    listed = await grave.letters.list(A_WORKSPACE, LetterFilter(), limit=2)

    assert [letter.id for letter in listed] == [ids[2], ids[1]]


async def test_pages_show_each_old_letter_once_while_others_come(grave: Grave) -> None:
    old = await grave.bury(*(f"old-{number}" for number in range(7)))

    seen = await walk(grave, page=2, between=["new-1", "new-2"])

    assert sorted(seen) == sorted(old)


@pytest.mark.parametrize("of_sync", [False, True])
@pytest.mark.parametrize("resolved", [False, True])
async def test_page_reads_no_more_letters_than_it_shows(grave: Grave, *, of_sync: bool, resolved: bool) -> None:
    letters = [a_letter(str(number)) for number in range(400)]
    await grave.settle(Settlement(Position(), Books(), letters=letters))
    await grave.deliver(*(str(number) for number in range(200)))
    await grave.database.execute("ANALYZE dead_letters")
    which = LetterFilter(grave.stage.sync_id if of_sync else None, resolved)

    async with grave.database.transaction() as connection:
        letters_within = DeadLetters(Within(connection), BOX)
        first = await letters_within.list(A_WORKSPACE, which, limit=10)
        after = (first[-1].first_seen_at, first[-1].id)
        second = await letters_within.list(A_WORKSPACE, which, limit=10, after=after)
        read = await connection.fetchval(_READ)

    assert len({letter.id for letter in [*first, *second]}) == 20
    assert read < 40


async def test_lists_are_by_sync_and_by_whether_resolved(grave: Grave) -> None:
    open_id, resolved_id = await grave.bury("a", "b")
    other = await another_sync(grave)
    [others_id] = await other.bury("a")
    await resolve(grave, resolved_id)

    async def listed(which: LetterFilter) -> set[str]:
        return {letter.id for letter in await grave.letters.list(A_WORKSPACE, which)}

    assert await listed(LetterFilter()) == {open_id, others_id}
    assert await listed(LetterFilter(sync_id=grave.stage.sync_id)) == {open_id}
    assert await listed(LetterFilter(resolved=True)) == {resolved_id}
    assert await listed(LetterFilter(sync_id=other.stage.sync_id, resolved=True)) == set()


async def test_payload_is_the_row_as_it_was_sent(grave: Grave) -> None:
    row = b'{"id": "cust-7", "note": "\\u0000 \xc3\xa9"}'
    [letter_id] = await grave.bury("cust-7", payload=row)

    assert await grave.letters.payload(A_WORKSPACE, letter_id) == row


async def test_row_that_is_too_large_to_keep_leaves_a_letter_without_payload(grave: Grave) -> None:
    [letter_id] = await grave.bury("cust-7", payload=b"x" * (PAYLOAD_LIMIT_BYTES + 1))

    assert await grave.letters.payload(A_WORKSPACE, letter_id) is None


async def test_stats_equal_the_table(grave: Grave) -> None:
    ids = await grave.bury("a", "b", "c", "d")
    await grave.bury("e", code="RATE_LIMIT")
    other = await another_sync(grave)
    await other.bury("a", "f", code="NULL_KEY")
    await resolve(grave, ids[0])
    await grave.finish()
    await grave.replay(ids[1:2])

    everywhere = await grave.letters.stats(A_WORKSPACE)
    of_sync = await grave.letters.stats(A_WORKSPACE, sync_id=grave.stage.sync_id)

    rows = await grave.database.fetch("SELECT * FROM dead_letters WHERE state <> 'resolved'")
    assert everywhere.by_error_code == Counter(row["error_code"] for row in rows)
    assert (everywhere.open_count, everywhere.resolved_count) == (len(rows), 1) == (6, 1)
    assert of_sync.by_error_code == {INVALID: 3, "RATE_LIMIT": 1}
    assert (of_sync.open_count, of_sync.resolved_count) == (4, 1)


async def test_stats_since_a_moment_leave_out_what_is_older(grave: Grave) -> None:
    await grave.bury("a", "b")
    since = (await grave.letters.stats(A_WORKSPACE)).computed_at
    await grave.bury("c")

    stats = await grave.letters.stats(A_WORKSPACE, since=since)

    assert (stats.open_count, stats.by_error_code) == (1, {INVALID: 1})
    assert stats.computed_at > since


async def test_stats_of_an_empty_workspace_are_zero(grave: Grave) -> None:
    stats = await grave.letters.stats(A_WORKSPACE)

    assert (stats.open_count, stats.resolved_count, stats.by_error_code) == (0, 0, {})


async def test_other_workspaces_see_nothing(grave: Grave) -> None:
    [letter_id] = await grave.bury("a")

    assert await grave.letters.list(ELSEWHERE, LetterFilter()) == []
    assert (await grave.letters.stats(ELSEWHERE)).open_count == 0
    with pytest.raises(NotFound):
        await grave.letters.get(ELSEWHERE, letter_id)
    with pytest.raises(NotFound):
        await grave.letters.payload(ELSEWHERE, letter_id)
    async with grave.database.transaction() as connection:
        with pytest.raises(NotFound, match=letter_id):
            await grave.letters.resolve(connection, ELSEWHERE, [letter_id], FIXED)


async def test_resolved_letter_says_why_and_by_whom(grave: Grave) -> None:
    [letter_id] = await grave.bury("a")

    resolved_at = await resolve(grave, letter_id)

    letter = await grave.letters.get(A_WORKSPACE, letter_id)
    assert (letter.state, letter.resolution, letter.resolved_by) == (LetterState.RESOLVED, "fixed_upstream", "ann")
    assert letter.resolved_at == resolved_at


async def test_letter_that_is_resolved_again_says_when_it_was(grave: Grave) -> None:
    ids = await grave.bury("a", "b")
    first = await resolve(grave, ids[0])

    async with grave.database.transaction() as connection:
        again = await grave.letters.resolve(connection, A_WORKSPACE, ids[:1], Resolution(SKIPPED, "bob"))
        both = await grave.letters.resolve(connection, A_WORKSPACE, ids, Resolution(SKIPPED, "bob"))

    assert again == ([], first)
    assert both[0] == ids[1:]
    assert both[1] > first


async def test_unknown_letter_stops_the_others_from_being_resolved(grave: Grave) -> None:
    [letter_id] = await grave.bury("a")

    with pytest.raises(NotFound, match="retl_dlq_none"):
        await resolve(grave, letter_id, DeadLetterId("retl_dlq_none"))

    assert await grave.state(letter_id) == LetterState.OPEN


async def test_first_of_two_resolutions_stays(grave: Grave) -> None:
    ids = await grave.bury(*(str(number) for number in range(20)))
    callers = [Resolution("manual_push", f"caller-{number}") for number in range(5)]

    await asyncio.gather(
        *(
            resolve(grave, *(ids if number % 2 else ids[::-1]), resolution=caller)
            for number, caller in enumerate(callers)
        )
    )

    letters = await grave.letters.list(A_WORKSPACE, LetterFilter(resolved=True))
    assert len(letters) == 20
    assert len({letter.resolved_by for letter in letters}) == 1


async def test_row_that_fails_again_after_its_letter_was_resolved_gets_a_new_one(grave: Grave) -> None:
    [first] = await grave.bury("a")
    await resolve(grave, first)

    [second] = await grave.bury("a")
    [same] = await grave.bury("a")

    assert first != second
    assert same == second
    assert (await grave.letters.get(A_WORKSPACE, second)).attempts == 2


async def test_letter_under_replay_cannot_be_resolved(grave: Grave) -> None:
    [letter_id] = await grave.bury("a")
    await grave.finish()
    run_id = await grave.replay([letter_id])

    with pytest.raises(Conflict, match=run_id) as refused:
        await resolve(grave, letter_id)

    assert (refused.value.code, refused.value.existing_id) == ("REPLAYING", run_id)
    assert await grave.state(letter_id) == LetterState.REPLAYING


async def test_rows_are_dead_while_their_letter_is_unresolved_or_skipped(grave: Grave) -> None:
    ids = await grave.bury("open", "replaying", "fixed", "skipped")
    await grave.finish()
    await resolve(grave, ids[2])
    await resolve(grave, ids[3], resolution=Resolution(SKIPPED, "ann"))
    await grave.replay(ids[1:2])

    dead = await grave.letters.still_dead(grave.stage.sync_id, keys("open", "replaying", "fixed", "skipped", "fine"))

    assert dead == dict.fromkeys(keys("open", "replaying", "skipped"), False)


async def test_newest_letter_of_a_row_decides_whether_it_is_dead(grave: Grave) -> None:
    ids = await grave.bury("skipped then fixed", "fixed then skipped", "skipped then open")
    await resolve(grave, ids[0], ids[2], resolution=Resolution(SKIPPED, "ann"))
    await resolve(grave, ids[1])
    ids = await grave.bury("skipped then fixed", "fixed then skipped", "skipped then open")
    await resolve(grave, ids[0])
    await resolve(grave, ids[1], resolution=Resolution(SKIPPED, "ann"))

    dead = await grave.letters.still_dead(
        grave.stage.sync_id, keys("skipped then fixed", "fixed then skipped", "skipped then open")
    )

    assert dead == dict.fromkeys(keys("fixed then skipped", "skipped then open"), False)


async def test_letters_of_other_syncs_do_not_make_a_row_dead(grave: Grave) -> None:
    await grave.bury("a")
    other = await another_sync(grave)

    assert await grave.letters.still_dead(other.stage.sync_id, keys("a")) == {}


async def test_look_for_letters_of_rows_reads_no_others(grave: Grave) -> None:
    await grave.settle(Settlement(Position(), Books(), letters=[a_letter(str(number)) for number in range(400)]))
    await grave.deliver(*(str(number) for number in range(200)))
    await grave.database.execute("ANALYZE dead_letters")
    rows = keys("7", "8", "307")

    async with grave.database.transaction() as connection:
        letters_within = DeadLetters(Within(connection), BOX)
        dead = await letters_within.still_dead(grave.stage.sync_id, rows)
        listed = await letters_within.list(A_WORKSPACE, LetterFilter(grave.stage.sync_id, None, rows=rows))
        read = await connection.fetchval(_READ)

    assert dead == dict(zip(rows, [True, True, False], strict=True))
    assert [letter.state for letter in listed].count(LetterState.RESOLVED) == 2
    assert len(listed) == 3
    assert read < 10


def keys(*texts: str) -> list[DedupeKey]:
    return [dedupe_key(RowKey((text,))) for text in texts]
