import asyncio
from contextlib import suppress

from tailrace.store.database import Database
from tailrace.store.inbox import prune, take_in


async def take(database: Database, source: str, event_id: str) -> bool:
    async with database.transaction() as connection:
        return await take_in(connection, source, event_id)


async def test_event_is_taken_in_once(database: Database) -> None:
    assert await take(database, "/shop", "e1")

    assert not await take(database, "/shop", "e1")


async def test_same_id_of_another_source_is_another_event(database: Database) -> None:
    await take(database, "/shop", "e1")

    assert await take(database, "/billing", "e1")
    assert await take(database, "/shop", "e2")


async def test_event_whose_handling_rolled_back_is_new_again(database: Database) -> None:
    with suppress(ZeroDivisionError):
        async with database.transaction() as connection:
            await take_in(connection, "/shop", "e1")
            raise ZeroDivisionError

    assert await take(database, "/shop", "e1")


async def test_of_many_at_once_one_takes_it_in(database: Database) -> None:
    taken = await asyncio.gather(*(take(database, "/shop", "e1") for _ in range(8)))

    assert sorted(taken) == [False] * 7 + [True]


async def test_repeat_waits_for_the_first_and_takes_over_if_that_fails(database: Database) -> None:
    async with asyncio.TaskGroup() as tasks:
        with suppress(ZeroDivisionError):
            async with database.transaction() as connection:
                await take_in(connection, "/shop", "e1")
                repeat = tasks.create_task(take(database, "/shop", "e1"))
                done, _ = await asyncio.wait({repeat}, timeout=0.2)
                raise ZeroDivisionError

    assert not done
    assert repeat.result()


async def test_old_events_are_forgotten_and_young_ones_kept(database: Database) -> None:
    await take(database, "/shop", "old")
    await database.execute("UPDATE inbox SET received_at = received_at - interval '7 days 1 minute'")
    await take(database, "/shop", "young")

    assert await prune(database) == 1
    assert await prune(database) == 0
    assert await take(database, "/shop", "old")
    assert not await take(database, "/shop", "young")
