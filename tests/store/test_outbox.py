import asyncio
from contextlib import suppress
from uuid import uuid4

import asyncpg
import pytest

from tailrace.core.errors import Invalid
from tailrace.core.outgoing import MAX_EVENT_BYTES, OutgoingEvent, new_event_id
from tailrace.observe.tracing import traced
from tailrace.store.database import Database
from tailrace.store.outbox import SHARDS, Outbox, enqueue, shard_of

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def an_event(key: str = "sync_1", data: bytes = b"{}") -> OutgoingEvent:
    return OutgoingEvent("tailrace.run.queued.v1", key, data, new_event_id())


async def write(database: Database, *events: OutgoingEvent) -> None:
    async with database.transaction() as connection:
        await enqueue(connection, events)


async def test_events_leave_as_they_were_written_and_in_order(database: Database) -> None:
    outbox = Outbox(database)
    events = [an_event(data=b'{"n":%d}' % number) for number in range(20)]

    await write(database, *events)

    waiting = await outbox.read(shard_of("sync_1"), at_most=100)
    assert [held.event for held in waiting] == events
    assert [held.place for held in waiting] == sorted(held.place for held in waiting)
    assert {held.traceparent for held in waiting} == {None}


async def test_event_of_a_transaction_that_rolls_back_is_never_seen(database: Database) -> None:
    with suppress(ZeroDivisionError):
        async with database.transaction() as connection:
            await enqueue(connection, [an_event()])
            raise ZeroDivisionError

    assert (await Outbox(database).backlog()).pending == 0


async def test_event_written_again_after_an_unknown_commit_stays_single(database: Database) -> None:
    event = an_event()

    await write(database, event)
    await write(database, event)

    assert (await Outbox(database).backlog()).pending == 1


async def test_event_belongs_to_the_trace_of_the_work_that_wrote_it(database: Database) -> None:
    with traced(TRACEPARENT):
        await write(database, an_event())

    [held] = await Outbox(database).read(shard_of("sync_1"), at_most=10)
    assert held.traceparent == TRACEPARENT


async def test_event_beyond_the_limit_is_refused_before_anything_is_written(database: Database) -> None:
    await write(database, an_event(data=b"x" * MAX_EVENT_BYTES))

    with pytest.raises(Invalid, match="send ids"):
        await write(database, an_event(), an_event(data=b"x" * (MAX_EVENT_BYTES + 1)))

    assert (await Outbox(database).backlog()).pending == 1


async def test_schema_keeps_the_limit_too(database: Database) -> None:
    insert = "INSERT INTO outbox (shard, topic, key, event_id, body) VALUES (0, 't', 'k', 'e', $1)"

    with pytest.raises(asyncpg.CheckViolationError):
        await database.execute(insert, b"x" * (MAX_EVENT_BYTES + 1))


def test_a_key_stays_in_its_shard_and_keys_fill_all_shards() -> None:
    shards = [shard_of(f"key_{number}") for number in range(1000)]

    assert set(shards) == set(range(SHARDS))
    assert shards == [shard_of(f"key_{number}") for number in range(1000)]


async def test_only_a_shard_with_events_is_leased(database: Database) -> None:
    outbox = Outbox(database)

    assert await outbox.lease(uuid4(), ttl_s=30) is None

    await write(database, an_event("sync_1"))
    assert await outbox.lease(uuid4(), ttl_s=30) == shard_of("sync_1")


async def test_leased_shard_is_not_leased_again(database: Database) -> None:
    outbox = Outbox(database)
    await write(database, an_event())

    await outbox.lease(uuid4(), ttl_s=30)

    assert await outbox.lease(uuid4(), ttl_s=30) is None


async def test_relays_that_ask_at_once_get_different_shards(database: Database) -> None:
    outbox = Outbox(database)
    await write(database, *(an_event(f"key_{number}") for number in range(200)))

    leased = await asyncio.gather(*(outbox.lease(uuid4(), ttl_s=30) for _ in range(8)))

    assert len({shard for shard in leased if shard is not None}) == len([s for s in leased if s is not None])
    assert any(shard is not None for shard in leased)


async def test_shard_of_a_relay_that_died_comes_free(database: Database) -> None:
    outbox = Outbox(database)
    await write(database, an_event())

    await outbox.lease(uuid4(), ttl_s=0)

    assert await outbox.lease(uuid4(), ttl_s=30) == shard_of("sync_1")


async def test_settling_deletes_what_was_sent_and_frees_the_shard(database: Database) -> None:
    outbox = Outbox(database)
    token = uuid4()
    await write(database, an_event(), an_event())
    shard = await outbox.lease(token, ttl_s=30)
    assert shard is not None
    first, second = await outbox.read(shard, at_most=10)

    await outbox.settle(shard, token, [first.place])

    assert await outbox.read(shard, at_most=10) == [second]
    assert await outbox.lease(uuid4(), ttl_s=30) == shard


async def test_relay_that_overslept_frees_no_shard_of_another(database: Database) -> None:
    outbox = Outbox(database)
    late = uuid4()
    await write(database, an_event(), an_event())
    shard = await outbox.lease(late, ttl_s=0)
    assert shard is not None
    await outbox.lease(uuid4(), ttl_s=30)

    await outbox.settle(shard, late, [])

    assert await outbox.lease(uuid4(), ttl_s=30) is None


async def test_shards_take_turns(database: Database) -> None:
    outbox = Outbox(database)
    await write(database, *(an_event(f"key_{number}") for number in range(200)))

    turns = [await turn(outbox) for _ in range(2 * SHARDS)]

    assert sorted(turns[:SHARDS]) == sorted(turns[SHARDS:]) == list(range(SHARDS))


async def turn(outbox: Outbox) -> int:
    token = uuid4()
    shard = await outbox.lease(token, ttl_s=30)
    assert shard is not None
    await outbox.settle(shard, token, [])
    return shard


async def test_backlog_tells_how_much_waits_and_since_when(database: Database) -> None:
    await write(database, an_event(), an_event())
    await database.execute(
        "UPDATE outbox SET created_at = created_at - interval '90 s' WHERE id = (SELECT min(id) FROM outbox)"
    )

    backlog = await Outbox(database).backlog()

    assert backlog.pending == 2
    assert 90 <= backlog.oldest_s < 120
