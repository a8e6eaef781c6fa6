"""Mechanisms that nothing else would miss at once: transactions that break off, wait, or come late."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
import pytest

from tailrace.core.errors import NotFound
from tailrace.core.ids import WorkspaceId
from tailrace.core.rows import Operation, RowHash, RowKey
from tailrace.core.runs import Books
from tailrace.core.settlements import NewDeadLetter, Position, Settlement, dedupe_key
from tailrace.core.snapshots import Entry
from tailrace.store.checkpoints import Checkpoints, Place
from tailrace.store.database import Database
from tailrace.store.outbox import Outbox, enqueue
from tailrace.store.runs import Runs
from tailrace.store.secrets import SecretBox
from tailrace.store.shards import Claim, Shards
from tests.store.conftest import A_WORKSPACE, Stage, an_event, write

TTL_S = 30.0
WAITED_S = 1.5
KEY = RowKey(("k1",))
HASH = RowHash(b"somehash")
LETTER = NewDeadLetter(dedupe_key(KEY), KEY, Operation.UPSERT, "BAD", "no", {}, b"{}", HASH)
SETTLEMENT = Settlement(Position(KEY), Books(read=1, rejected=1), [LETTER], [Entry(KEY, dead=HASH)])

_BOX = SecretBox.from_setting("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
_LOCK_LETTERS = "LOCK TABLE dead_letters IN ACCESS EXCLUSIVE MODE"
_IS_WAITED_FOR = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'dead_letters'::regclass"
_LEFT = "SELECT extract(epoch FROM lease_expires_at - clock_timestamp())::float8 FROM run_shards"
_WRITTEN = """
SELECT (SELECT count(*) FROM dead_letters), (SELECT count(*) FROM snapshot_pages), sum(checkpoint_seq), sum(rows_read)
FROM run_shards
"""


async def claimed(stage: Stage) -> Claim:
    await stage.start_run()
    claim = await Shards(stage.database).claim(owner="a", ttl_s=TTL_S, grace_s=0)
    assert claim is not None
    return claim


async def commit(stage: Stage, claim: Claim) -> None:
    place = Place(claim.lease, A_WORKSPACE, stage.sync_id, 0, TTL_S)
    await write(Checkpoints(stage.database, _BOX), place, SETTLEMENT)


@asynccontextmanager
async def locked_letters(database: Database) -> AsyncIterator[None]:
    """Nobody writes letters while the scope lasts, and for a while after somebody wants to."""
    async with database.transaction() as connection:
        await connection.execute(_LOCK_LETTERS)
        yield
        async with asyncio.timeout(20.0):
            while not await connection.fetchval(_IS_WAITED_FOR):  # noqa: ASYNC110 - another session waits
                await asyncio.sleep(0.02)
        await connection.execute("SELECT pg_sleep($1)", WAITED_S)


async def test_checkpoint_that_breaks_off_leaves_nothing(stage: Stage) -> None:
    claim = await claimed(stage)
    place = Place(claim.lease, A_WORKSPACE, stage.sync_id, 0, TTL_S)

    with pytest.raises(ZeroDivisionError):
        await write(Checkpoints(stage.database, _BOX), place, SETTLEMENT, lambda seq, _: [an_event(str(seq // 0))])

    assert tuple(await stage.database.fetchrow(_WRITTEN) or ()) == (0, 0, 0, 0)


async def test_lease_lasts_from_when_it_was_written_however_long_that_took(stage: Stage) -> None:
    claim = await claimed(stage)

    async with asyncio.timeout(30.0), asyncio.TaskGroup() as tasks, locked_letters(stage.database):
        tasks.create_task(commit(stage, claim))

    left_s = await stage.database.fetchval(_LEFT)
    assert TTL_S - WAITED_S < left_s <= TTL_S


async def test_run_that_has_ended_cannot_become_anything_else(stage: Stage) -> None:
    await stage.start_run()
    await stage.database.execute("UPDATE runs SET status = 'failed'")

    with pytest.raises(asyncpg.RaiseError):
        await stage.database.execute("UPDATE runs SET status = 'succeeded'")


async def test_run_of_another_workspace_is_not_found(stage: Stage) -> None:
    run_id = await stage.start_run()

    with pytest.raises(NotFound):
        await Runs(stage.database).get(WorkspaceId("ws_other"), run_id)


async def test_event_committed_late_is_not_deleted_with_those_that_were_sent(database: Database) -> None:
    outbox, token = Outbox(database), uuid4()
    async with database.transaction() as late:
        await enqueue(late, [an_event("key")])
        async with database.transaction() as early:
            await enqueue(early, [an_event("key")])
        taken = await outbox.take(token, ttl_s=30.0, at_most=10)
    assert taken is not None

    await outbox.settle(taken.shards, token, [event.place for event in taken.events])

    assert len(taken.events) == 1
    assert (await outbox.backlog()).pending == 1
