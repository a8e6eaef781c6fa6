import asyncio
from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID, uuid4

import asyncpg
import pytest

from tailrace.core.errors import Invalid
from tailrace.core.ids import WorkspaceId
from tailrace.core.outgoing import MAX_EVENT_BYTES, OutgoingEvent, WaitingEvent, new_event_id
from tailrace.observe.tracing import traced
from tailrace.store.database import Database, Within
from tailrace.store.isolation import OneWorkspace
from tailrace.store.outbox import SHARDS, Outbox, enqueue, enqueued, enqueueing, shard_of

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def an_event(key: str = "sync_1", data: bytes = b"{}") -> OutgoingEvent:
    return OutgoingEvent("tailrace.run.queued.v1", key, data, new_event_id())


async def write(database: Database, *events: OutgoingEvent) -> None:
    async with database.transaction() as connection:
        await enqueue(connection, events)


async def taken(database: Database, *, token: UUID | None = None, ttl_s: float = 30) -> int | None:
    """The shard that a relay gets."""
    held = await Outbox(database).take(token or uuid4(), ttl_s=ttl_s, at_most=10)
    return next(iter(held.shards)) if held else None


async def turn(database: Database, *, at_most: int = 10) -> int:
    """The shard of a relay that sends and settles what it gets."""
    token = uuid4()
    held = await Outbox(database).take(token, ttl_s=30, at_most=at_most)
    assert held is not None
    await Outbox(database).settle(held.shards, token, [event.place for event in held.events])
    [shard] = held.shards
    return shard


async def waiting(database: Database) -> Sequence[WaitingEvent]:
    """What the next relay gets."""
    held = await Outbox(database).take(uuid4(), ttl_s=0, at_most=100)
    return held.events if held else ()


async def rows_read_in_sequence(database: Database) -> int:
    await database.execute("SELECT pg_stat_force_next_flush()")
    count: int = await database.fetchval("SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'outbox'")
    return count


async def test_events_leave_as_they_were_written_and_in_order(database: Database) -> None:
    events = [an_event(data=b'{"n":%d}' % number) for number in range(20)]

    await write(database, *events)

    held = await waiting(database)
    assert [one.event for one in held] == events
    assert [one.place for one in held] == sorted(one.place for one in held)
    assert {one.traceparent for one in held} == {None}


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

    [held] = await waiting(database)
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


async def test_listeners_are_told_of_a_commit_and_where_its_events_wait(database: Database) -> None:
    told: list[set[int]] = []
    database.listen(lambda shards: told.append(set(shards)))

    async with database.transaction() as connection:
        await enqueue(connection, [an_event("sync_1"), an_event("sync_2")])
        told_before_the_commit = list(told)

    assert told_before_the_commit == []
    assert told == [{shard_of("sync_1"), shard_of("sync_2")}]


async def test_listeners_hear_of_no_rollback_no_quiet_transaction_and_nothing_that_can_wait(database: Database) -> None:
    told: list[set[int]] = []
    database.listen(lambda shards: told.append(set(shards)))

    with suppress(ZeroDivisionError):
        async with database.transaction() as connection:
            await enqueue(connection, [an_event()])
            raise ZeroDivisionError
    async with database.transaction() as connection:
        await connection.execute("SELECT 1")
    async with database.transaction() as connection:
        await connection.execute(enqueueing("(SELECT) AS always", first=1), *enqueued([an_event()]))

    assert told == []


async def test_listeners_hear_of_a_nested_transaction_when_the_whole_has_committed(database: Database) -> None:
    told: list[set[int]] = []
    database.listen(lambda shards: told.append(set(shards)))

    async with database.transaction() as connection:
        async with Within(connection).transaction() as nested:
            await enqueue(nested, [an_event()])
        told_before_the_commit = list(told)

    assert told_before_the_commit == []
    assert told == [{shard_of("sync_1")}]


async def test_listeners_hear_of_what_one_workspace_commits(database: Database) -> None:
    told: list[set[int]] = []
    database.listen(lambda shards: told.append(set(shards)))

    async with OneWorkspace(database, WorkspaceId("ws_1"), statement_s=5).transaction() as connection:
        await enqueue(connection, [an_event()])

    assert told == [{shard_of("sync_1")}]


async def test_shard_is_taken_only_among_those_asked_for(database: Database) -> None:
    await write(database, an_event("sync_1"))
    other = (shard_of("sync_1") + 1) % SHARDS
    outbox = Outbox(database)

    of_others = await outbox.take(uuid4(), ttl_s=30, at_most=10, among=[other])
    of_its_own = await outbox.take(uuid4(), ttl_s=30, at_most=10, among=[other, shard_of("sync_1")])

    assert of_others is None
    assert of_its_own is not None


async def test_only_a_shard_with_events_is_taken(database: Database) -> None:
    assert await taken(database) is None

    await write(database, an_event("sync_1"))
    assert await taken(database) == shard_of("sync_1")


async def test_taken_shard_is_not_taken_again(database: Database) -> None:
    await write(database, an_event())

    await taken(database)

    assert await taken(database) is None


async def test_shards_asked_for_are_taken_together_and_given_back_together(database: Database) -> None:
    outbox, token = Outbox(database), uuid4()
    keys = ["sync_1", next(key for key in map(str, range(SHARDS * 8)) if shard_of(key) != shard_of("sync_1"))]
    both = {shard_of(key) for key in keys}
    first, second = an_event(keys[0]), an_event(keys[1])
    await write(database, first, second)

    held = await outbox.take(token, ttl_s=30, at_most=1, among=both)
    assert held is not None
    taken_meanwhile = await outbox.take(uuid4(), ttl_s=30, at_most=10, among=both)
    await outbox.settle(held.shards, token, [event.place for event in held.events])
    left = await outbox.take(uuid4(), ttl_s=30, at_most=10, among=both)

    assert [one.event for one in held.events] == [first]
    assert taken_meanwhile is None
    assert left is not None
    assert [one.event for one in left.events] == [second]


async def test_relays_that_ask_at_once_get_different_shards(database: Database) -> None:
    await write(database, *(an_event(f"key_{number}") for number in range(200)))

    shards = [shard for shard in await asyncio.gather(*(taken(database) for _ in range(8))) if shard is not None]

    assert shards
    assert len(set(shards)) == len(shards)


async def test_shard_of_a_relay_that_died_comes_free(database: Database) -> None:
    await write(database, an_event())

    await taken(database, ttl_s=0)

    assert await taken(database) == shard_of("sync_1")


async def test_shard_of_a_relay_that_died_before_the_clock_jumped_back_comes_free(database: Database) -> None:
    await write(database, an_event())
    await taken(database, ttl_s=3600)

    assert await taken(database, ttl_s=30) == shard_of("sync_1")


async def test_settling_deletes_what_was_sent_and_frees_the_shard(database: Database) -> None:
    outbox = Outbox(database)
    token = uuid4()
    await write(database, an_event(), an_event())
    held = await outbox.take(token, ttl_s=30, at_most=10)
    assert held is not None
    first, second = held.events

    await outbox.settle(held.shards, token, [first.place])

    assert await waiting(database) == [second]


async def test_relay_that_overslept_frees_no_shard_of_another(database: Database) -> None:
    late = uuid4()
    await write(database, an_event(), an_event())
    await taken(database, token=late, ttl_s=0)
    await taken(database)

    await Outbox(database).settle([shard_of("sync_1")], late, [])

    assert await taken(database) is None


async def test_shards_take_turns(database: Database) -> None:
    await write(database, *(an_event(f"key_{number}") for number in range(1000)))

    turns = [await turn(database) for _ in range(2 * SHARDS)]

    assert sorted(turns[:SHARDS]) == sorted(turns[SHARDS:]) == list(range(SHARDS))


async def test_long_backlog_is_not_read_whole_in_each_round(database: Database) -> None:
    await write(database, *(an_event() for _ in range(200)))
    _ = [await turn(database) for _ in range(20)]
    await database.execute("VACUUM ANALYZE outbox")
    await write(database, *(an_event(f"key_{number}") for number in range(20_000)))
    before = await rows_read_in_sequence(database)

    _ = [await turn(database, at_most=500) for _ in range(20)]

    assert await rows_read_in_sequence(database) - before < 20_000
    assert (await Outbox(database).backlog()).pending == 10_000


async def test_backlog_tells_how_much_waits_and_since_when(database: Database) -> None:
    await write(database, an_event(), an_event())
    await database.execute(
        "UPDATE outbox SET created_at = created_at - interval '90 s' WHERE id = (SELECT min(id) FROM outbox)"
    )

    backlog = await Outbox(database).backlog()

    assert backlog.pending == 2
    assert 90 <= backlog.oldest_s < 120
