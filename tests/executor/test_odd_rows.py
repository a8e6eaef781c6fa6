"""Rows that PostgreSQL holds and readers of JSON trip over: refused by the destination, they are dead letters."""

import pytest

from tailrace.core.runs import RunStatus
from tests.executor.sink import Sink
from tests.executor.yard import Yard

_KEYS = "SELECT min(record_keys ->> 'id') FROM dead_letters WHERE state = 'open'"


@pytest.mark.parametrize(
    ("query", "key"),
    [
        pytest.param("SELECT 1 AS id, ('1' || repeat('0', 400))::numeric AS email", "1", id="huge number"),
        pytest.param("""SELECT 1 AS id, '{"a": "\\ud800"}'::json AS email""", "1", id="half a surrogate pair"),
        pytest.param("""SELECT '["\\u0000"]'::json AS id, 1 AS email""", '["\\u0000"]', id="NUL in the key"),
        pytest.param(
            "SELECT 12345678901234567890.5 AS id, 1 AS email", "12345678901234567890.5", id="digits of the key"
        ),
    ],
)
async def test_refused_row_is_a_dead_letter_with_its_exact_key_whatever_it_holds(
    yard: Yard, sink: Sink, query: str, key: str
) -> None:
    await yard.change_sync(source_query=query)
    sink.is_bad = lambda _: True

    run = await yard.run()

    assert (run.status, run.books.rejected) == (RunStatus.SUCCEEDED, 1)
    assert await yard.chassis.database.fetchval(_KEYS) == key
