"""A migration that needs two tables at once waits for none of them while it holds the other."""

import asyncio

from tailrace.store.database import Database
from tailrace.store.migrations import shipped, upgrade
from tailrace.testing.eventually import eventually

TAKES_TWO = "0033_letters_without_references.expand.sql"

_IS_WAITED_FOR = "SELECT count(*)::int FROM pg_locks WHERE NOT granted AND relation = 'runs'::regclass"


async def test_service_gets_the_second_table_while_the_migration_wants_the_first(empty_database_url: str) -> None:
    await upgrade(empty_database_url, [migration for migration in shipped() if migration.name < TAKES_TWO])
    async with asyncio.timeout(60), Database.open(empty_database_url, application_name="test") as database:

        async def waiting() -> bool:
            return bool(await database.fetchval(_IS_WAITED_FOR))

        async with asyncio.TaskGroup() as tasks:
            async with database.transaction() as service:
                await service.execute("LOCK TABLE runs IN ROW EXCLUSIVE MODE")
                upgrading = tasks.create_task(upgrade(empty_database_url))
                await eventually(waiting, wanted=True)
                await service.execute("LOCK TABLE dead_letters IN ROW EXCLUSIVE MODE")
            applied = await upgrading

    assert applied[0] == TAKES_TWO
