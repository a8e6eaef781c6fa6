"""A warehouse that gets lost, or changes, while a run reads from it."""

import pytest

from tailrace.core.runs import RunStatus
from tests.executor.sink import Sink
from tests.executor.yard import Yard

_BREAK_OFF = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE application_name = 'tailrace' AND datname = current_database() AND pid <> pg_backend_pid()
"""


async def break_off(yard: Yard) -> bool:
    """Break the connections of executors to the warehouse, if there are any."""
    return bool(await yard.warehouse.fetchval(_BREAK_OFF))


async def test_lost_source_is_read_on_from_the_checkpoint(yard: Yard, sink: Sink) -> None:
    await _add_more_than_a_socket_holds(yard)
    sink.delay_s = 0.02
    run_id = await yard.start()

    async with yard.executor(window_rows=100):
        await yard.until(lambda: _holds(sink, 500))
        await yard.until(lambda: break_off(yard))
        run = await yard.ended(run_id)

    assert (run.status, run.error_message, run.books.delivered) == (RunStatus.SUCCEEDED, None, 4000)
    assert sink.times_by_id == dict.fromkeys(range(1, 4001), 1)


async def test_source_that_is_lost_again_and_again_without_progress_fails_the_run(yard: Yard, sink: Sink) -> None:
    await _add_more_than_a_socket_holds(yard)
    sink.delay_s = 0.02
    run_id = await yard.start()

    async with yard.executor(window_rows=100):
        await yard.until(lambda: _holds(sink, 500))
        await _let_nobody_in(yard)
        await yard.until(lambda: break_off(yard))
        run = await yard.ended(run_id)

    assert (run.status, run.error_code) == (RunStatus.FAILED, "SOURCE_UNAVAILABLE")
    assert run.books.balance
    assert run.books.delivered == len(sink.rows) < 4000


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE people DROP COLUMN email",
        "ALTER TABLE people RENAME COLUMN email TO mail",
        "ALTER TABLE people ALTER COLUMN email TYPE json USING to_json(email)",
    ],
    ids=["dropped", "renamed", "another type"],
)
async def test_column_that_changes_while_the_run_is_under_way_stops_it(yard: Yard, sink: Sink, change: str) -> None:
    await yard.add_people(1, 1000)
    sink.delay_s = 0.02
    run_id = await yard.start()

    async with yard.executor(window_rows=100) as stopping:
        await yard.until(lambda: _holds(sink, 200))
        stopping.set()
    await yard.warehouse.execute(change)
    async with yard.executor():
        run = await yard.ended(run_id)

    assert (run.status, run.error_code) == (RunStatus.FAILED, "SCHEMA_CHANGED")
    assert run.books.balance
    assert all(row["email"] == f"p{row['id']}@example.com" for row in sink.rows)


async def test_column_that_nobody_maps_may_change(yard: Yard, sink: Sink) -> None:
    await yard.warehouse.execute("ALTER TABLE people ADD COLUMN age int")
    await yard.change_sync(source_query="SELECT * FROM people")
    await yard.warehouse.execute("INSERT INTO people SELECT n, 'x', 1 FROM generate_series(1, 1000) AS n")
    sink.delay_s = 0.02
    run_id = await yard.start()

    async with yard.executor(window_rows=100) as stopping:
        await yard.until(lambda: _holds(sink, 200))
        stopping.set()
    await yard.warehouse.execute("ALTER TABLE people DROP COLUMN age")
    async with yard.executor():
        run = await yard.ended(run_id)

    assert (run.status, run.books.delivered) == (RunStatus.SUCCEEDED, 1000)


async def _add_more_than_a_socket_holds(yard: Yard) -> None:
    """4000 rows, most of which the server still has when the first ones arrive."""
    await yard.warehouse.execute("INSERT INTO people SELECT n, repeat('x', 5000) FROM generate_series(1, 4000) AS n")


async def _holds(sink: Sink, rows: int) -> bool:
    return len(sink.rows) >= rows


async def _let_nobody_in(yard: Yard) -> None:
    name = await yard.warehouse.fetchval("SELECT quote_ident(current_database())")
    await yard.chassis.database.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
