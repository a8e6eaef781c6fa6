"""Answers remembered by the caller's key."""

import asyncio

import pytest

from tailrace.core.errors import Conflict, Invalid
from tailrace.core.ids import WorkspaceId
from tailrace.store.database import Database
from tailrace.store.idempotency import ANSWERED_WITHIN_S, Answer, Idempotency, Request
from tailrace.store.secrets import SecretBox

A_REQUEST = Request(WorkspaceId("ws_a"), "key", b"1" * 32)
ANOTHER = Request(WorkspaceId("ws_a"), "key", b"2" * 32)
AN_ANSWER = Answer(200, b'{"id":1}')

_AGE = "UPDATE idempotency_keys SET created_at = created_at - make_interval(secs => $1)"


@pytest.fixture
def idempotency(database: Database) -> Idempotency:
    return Idempotency(database, SecretBox([bytes(32)]))


async def _keep(database: Database, idempotency: Idempotency, answer: Answer = AN_ANSWER) -> Answer | None:
    async with database.transaction() as connection:
        known = await idempotency.claim(connection, A_REQUEST)
        if known is None:
            await idempotency.keep(connection, A_REQUEST, answer)
    return known


async def _keep_and_fail(database: Database, idempotency: Idempotency) -> None:
    async with database.transaction() as connection:
        await idempotency.claim(connection, A_REQUEST)
        await idempotency.keep(connection, A_REQUEST, AN_ANSWER)
        raise ZeroDivisionError


async def test_first_request_has_no_answer_and_the_repeat_has_its(database: Database, idempotency: Idempotency) -> None:
    first = await _keep(database, idempotency)
    again = await _keep(database, idempotency)

    assert (first, again) == (None, AN_ANSWER)


async def test_key_of_another_request_is_refused(database: Database, idempotency: Idempotency) -> None:
    await _keep(database, idempotency)

    async with database.transaction() as connection:
        with pytest.raises(Invalid) as refused:
            await idempotency.claim(connection, ANOTHER)

    assert refused.value.code == "IDEMPOTENCY_KEY_REUSED"


async def test_nothing_is_kept_of_a_transaction_that_rolls_back(database: Database, idempotency: Idempotency) -> None:
    with pytest.raises(ZeroDivisionError):
        await _keep_and_fail(database, idempotency)

    assert await _keep(database, idempotency) is None


async def test_concurrent_repeats_wait_a_moment_for_the_first(database: Database, idempotency: Idempotency) -> None:
    answers = await asyncio.gather(*(_keep(database, idempotency) for _ in range(8)))

    assert sorted(answers, key=repr) == [*[AN_ANSWER] * 7, None]


async def test_repeat_of_what_takes_longer_is_told_so(database: Database, idempotency: Idempotency) -> None:
    async with database.transaction() as first:
        await idempotency.claim(first, A_REQUEST)

        with pytest.raises(Conflict) as refused:
            await _keep(database, idempotency)

    assert refused.value.code == "IN_PROGRESS"


async def test_answer_cannot_be_read_in_the_database(database: Database, idempotency: Idempotency) -> None:
    await _keep(database, idempotency)

    stored: bytes = await database.fetchval("SELECT response FROM idempotency_keys")

    assert AN_ANSWER.body not in stored


class TestBegun:
    """A request that acts on the outside: its key is taken before, its answer kept after."""

    async def test_repeat_is_told_that_it_is_in_progress(self, idempotency: Idempotency) -> None:
        first = await idempotency.begin(A_REQUEST)

        with pytest.raises(Conflict) as repeated:
            await idempotency.begin(A_REQUEST)
        with pytest.raises(Invalid) as other:
            await idempotency.begin(ANOTHER)

        assert first is None
        assert (repeated.value.code, other.value.code) == ("IN_PROGRESS", "IDEMPOTENCY_KEY_REUSED")

    async def test_repeat_gets_the_answer_once_there_is_one(self, idempotency: Idempotency) -> None:
        await idempotency.begin(A_REQUEST)
        await idempotency.finish(A_REQUEST, AN_ANSWER)

        assert await idempotency.begin(A_REQUEST) == AN_ANSWER

    async def test_request_that_never_got_an_answer_is_taken_over(
        self, database: Database, idempotency: Idempotency
    ) -> None:
        await idempotency.begin(A_REQUEST)
        await database.execute(_AGE, ANSWERED_WITHIN_S + 1)

        with pytest.raises(Invalid):
            await idempotency.begin(ANOTHER)
        taken = await idempotency.begin(A_REQUEST)

        assert taken is None


async def test_key_is_free_again_after_a_day(database: Database, idempotency: Idempotency) -> None:
    await _keep(database, idempotency)
    await database.execute(_AGE, 24 * 3600 + 1)

    async with database.transaction() as connection:
        claimed = await idempotency.claim(connection, ANOTHER)

    assert claimed is None


async def test_only_keys_past_their_day_are_pruned(database: Database, idempotency: Idempotency) -> None:
    await _keep(database, idempotency)
    too_early = await idempotency.prune()
    await database.execute(_AGE, 24 * 3600 + 1)

    in_time = await idempotency.prune()

    assert (too_early, in_time) == (0, 1)


async def test_note_is_found_by_the_same_request_for_a_while(database: Database, idempotency: Idempotency) -> None:
    async with database.transaction() as connection:
        await idempotency.note(connection, ANOTHER, "older")
        await idempotency.note(connection, A_REQUEST, "run")
        found = await idempotency.recent(connection, A_REQUEST, within_s=10)
        of_other = await idempotency.recent(connection, ANOTHER, within_s=10)
        await connection.execute(_AGE, 11)
        late = await idempotency.recent(connection, A_REQUEST, within_s=10)

    assert (found, of_other, late) == ("run", None, None)


async def test_forgotten_note_is_gone(database: Database, idempotency: Idempotency) -> None:
    async with database.transaction() as connection:
        await idempotency.note(connection, A_REQUEST, "run")

    await idempotency.forget(A_REQUEST.workspace_id, A_REQUEST.key)

    assert await database.fetchval("SELECT count(*) FROM idempotency_keys") == 0
