"""Several versions of one row, read by a cursor, some of them refused: the newest that is taken stays."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from tailrace.core.runs import RunStatus
from tailrace.core.syncs import SyncMode
from tailrace.runtime.service import Chassis
from tests.executor.modes import CURSOR, SNAPSHOT, Way, open_way

BAD, WORSE, GOOD, BETTER = "nowhere", "nowhere at all", "here@example.com", "there@example.com"
_VERSION = "INSERT INTO people (id, email, at) VALUES (1001, $1, '2026-02-01'::timestamptz + $2 * interval '1 second')"
_TAKE_ALL = "ALTER TABLE contacts DROP CONSTRAINT contacts_email_check"
_HELD = "SELECT email FROM contacts WHERE id = 1001"
_LETTERS = "SELECT error_code, state FROM dead_letters WHERE row_key = ARRAY['1001'] ORDER BY first_seen_at, id"
_CODES = "SELECT error_code, state FROM dead_letters ORDER BY 1, 2"


@pytest_asyncio.fixture
async def way(
    request: pytest.FixtureRequest,
    chassis: Chassis,
    warehouse: "asyncpg.Connection[asyncpg.Record]",
    empty_database_url: str,
) -> AsyncIterator[Way]:
    """An upsert by a cursor, or the way that is asked for, with a first run behind it."""
    wanted = getattr(request, "param", (SyncMode.UPSERT, CURSOR))
    async with open_way(wanted, chassis, warehouse, empty_database_url) as opened:
        await opened.first_run()
        yield opened


async def come(way: Way, *emails: str) -> None:
    """Versions of one person, a second after the other, whatever the order in which they lie in the table."""
    for at, email in reversed(list(enumerate(emails))):
        await way.yard.warehouse.execute(_VERSION, email, at)


async def letters(way: Way, sql: str = _LETTERS) -> list[tuple[str, str]]:
    """Codes and states."""
    return [tuple(row) for row in await way.yard.chassis.database.fetch(sql)]


async def held(way: Way) -> str | None:
    """What the destination has of the person."""
    email: str | None = await way.yard.warehouse.fetchval(_HELD)
    return email


async def test_versions_that_are_refused_share_a_letter_that_keeps_the_newest(way: Way) -> None:
    await come(way, BAD, WORSE)

    run = await way.yard.run()

    assert (run.status, run.books.rejected) == (RunStatus.SUCCEEDED, 2)
    assert await letters(way) == [("CHECK_VIOLATION", "open")]


async def test_refused_version_is_not_sent_behind_a_newer_one_that_was_taken(way: Way) -> None:
    await come(way, BAD, GOOD)
    await way.yard.run()
    await way.yard.warehouse.execute(_TAKE_ALL)

    second, third = await way.yard.run(), await way.yard.run()

    assert (second.books.delivered, second.books.reasons["skipped.SUPERSEDED"]) == (0, 1)
    assert (third.books.delivered, third.books.reasons["skipped.UNCHANGED"]) == (0, third.books.read)
    assert await held(way) == GOOD


async def test_refused_version_keeps_its_letter_though_an_older_one_was_taken_in_the_same_checkpoint(way: Way) -> None:
    await come(way, GOOD, BAD)

    first, second = await way.yard.run(), await way.yard.run()

    assert await letters(way) == [("CHECK_VIOLATION", "open")]
    assert (first.books.rejected, second.books.reasons["skipped.STILL_DEAD"]) == (1, 1)
    assert await held(way) == GOOD


async def test_replay_sends_the_newest_version_and_no_older_one_follows(way: Way) -> None:
    await come(way, BAD, GOOD, WORSE)
    await way.yard.run()
    await way.yard.warehouse.execute(_TAKE_ALL)

    replay = await way.yard.replay()
    following = await way.yard.run()

    assert (replay.status, replay.books.read, replay.books.delivered) == (RunStatus.SUCCEEDED, 1, 1)
    assert following.books.delivered == 0
    assert await held(way) == WORSE
    assert await letters(way) == [("CHECK_VIOLATION", "resolved")]


@pytest.mark.parametrize("way", [(SyncMode.APPEND, CURSOR)], indirect=True, ids=["append by cursor"])
async def test_event_that_a_replay_delivered_is_not_sent_again(way: Way) -> None:
    await come(way, BAD)
    await way.yard.run()
    await way.yard.warehouse.execute(_TAKE_ALL)

    replay = await way.yard.replay()
    following = await way.yard.run()

    assert (replay.books.delivered, following.books.delivered) == (1, 0)
    assert [email for key, email in await way.contacts() if key == 1001] == [BAD]


async def test_row_without_a_cursor_has_a_letter_of_its_own_until_it_is_mended(way: Way) -> None:
    await come(way, BAD)
    await way.yard.warehouse.execute("ALTER TABLE people ALTER at DROP NOT NULL")
    await way.yard.warehouse.execute("INSERT INTO people VALUES (1001, $1, NULL)", BETTER)
    await way.yard.run()
    before = await letters(way)
    await way.yard.warehouse.execute("UPDATE people SET at = '2026-03-01' WHERE email = $1", BETTER)

    await way.yard.run()

    assert sorted(before) == [("CHECK_VIOLATION", "open"), ("NULL_CURSOR", "open")]
    assert sorted(await letters(way)) == [("CHECK_VIOLATION", "resolved"), ("NULL_CURSOR", "resolved")]
    assert await held(way) == BETTER


@pytest.mark.parametrize("way", [(SyncMode.UPSERT, SNAPSHOT)], indirect=True, ids=["upsert by snapshot"])
async def test_letters_of_rows_that_got_a_key_of_their_own_are_closed(way: Way) -> None:
    await way.yard.warehouse.execute("INSERT INTO people VALUES (NULL, $1), (5, $1), (NULL, $2)", GOOD, BETTER)
    await way.yard.run()
    before = await letters(way, _CODES)
    await way.yard.warehouse.execute("UPDATE people SET id = 1001 WHERE id IS NULL AND email = $1", GOOD)
    await way.yard.warehouse.execute("DELETE FROM people WHERE id = 5 AND email = $1", GOOD)

    await way.yard.run()

    assert before == [("DUPLICATE_KEY", "open"), ("NULL_KEY", "open"), ("NULL_KEY", "open")]
    assert await letters(way, _CODES) == [("DUPLICATE_KEY", "resolved"), ("NULL_KEY", "open"), ("NULL_KEY", "resolved")]
