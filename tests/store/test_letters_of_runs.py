"""A dead letter is of a run of its sync and its workspace, and that run stays."""

import asyncpg
import pytest

from tests.store.conftest import Stage
from tests.store.letters import Grave

_ADD = """
INSERT INTO dead_letters (id, workspace_id, sync_id, run_id, dedupe_key, operation, error_code, message, record_keys)
SELECT 'retl_dlq_copy', {workspace_id}, {sync_id}, {run_id}, 'another', operation, error_code, message, record_keys
FROM dead_letters LIMIT 1
"""
_REMOVE = "DELETE FROM run_moments; DELETE FROM run_shards; DELETE FROM runs"
_RIGHT = {"workspace_id": "workspace_id", "sync_id": "sync_id", "run_id": "run_id"}


@pytest.fixture
async def grave(stage: Stage) -> Grave:
    grave = Grave(stage)
    await grave.bury("a")
    return grave


@pytest.mark.parametrize("wrong", list(_RIGHT))
async def test_letter_that_names_no_run_of_its_sync_is_not_written(grave: Grave, wrong: str) -> None:
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="names no run of its sync"):
        await grave.database.execute(_ADD.format_map(_RIGHT | {wrong: "'another'"}))

    assert await grave.database.execute(_ADD.format_map(_RIGHT)) == 1


@pytest.mark.parametrize("wrong", list(_RIGHT))
async def test_letter_is_not_moved_to_a_run_that_is_not_there(grave: Grave, wrong: str) -> None:
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="names no run of its sync"):
        await grave.database.execute(f"UPDATE dead_letters SET {wrong} = 'another'")


@pytest.mark.parametrize("deed", [_REMOVE, "UPDATE runs SET workspace_id = 'ws_another'"], ids=["removed", "changed"])
async def test_run_that_has_letters_stays_as_it_is(grave: Grave, deed: str) -> None:
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="with dead letters is never removed"):
        await grave.database.execute(deed)

    assert await grave.database.fetchval("SELECT count(*) FROM runs WHERE workspace_id = 'ws_a'") == 1


async def test_run_cannot_go_while_a_letter_of_it_is_being_written(grave: Grave) -> None:
    async with grave.database.transaction() as writing:
        await writing.execute(_ADD.format_map(_RIGHT))

        async with grave.database.transaction() as removing:
            await removing.execute("SET LOCAL lock_timeout = '100ms'")
            with pytest.raises(asyncpg.LockNotAvailableError):
                await removing.execute("DELETE FROM runs")


async def test_schema_has_no_reference_that_is_looked_at_for_each_letter(grave: Grave) -> None:
    found = await grave.database.fetch(
        "SELECT conname FROM pg_constraint WHERE conrelid = 'dead_letters'::regclass AND contype = 'f'"
    )

    assert [row["conname"] for row in found] == ["dead_letters_replay_run_id_fkey"]
