"""Rows whose cells read like templates: what a cell holds is never read as anything but text."""

from tailrace.core.runs import RunStatus
from tests.executor.sink import Sink
from tests.executor.yard import Yard
from tests.fixtures.injections import INJECTIONS

MAPPINGS = [
    {"source": "id", "destination": "Id", "key": True},
    {"source": "said", "destination": "Said"},
    {"template": "<{{ said }}>", "destination": "Made"},
    {"value": INJECTIONS[0], "destination": "Constant"},
]
QUERY = "SELECT id, said FROM hostile"
TABLE = "DROP TABLE IF EXISTS hostile; CREATE TABLE hostile (id text PRIMARY KEY, said text)"


async def test_two_hundred_injected_templates_arrive_as_they_are(yard: Yard, sink: Sink) -> None:
    await yard.warehouse.execute(TABLE)
    await yard.warehouse.executemany("INSERT INTO hostile VALUES ($1, $1)", [(text,) for text in INJECTIONS])
    await yard.change_sync(source_query=QUERY, field_mappings=MAPPINGS)

    run = await yard.run()

    assert (run.status, run.books.delivered, run.books.failed) == (RunStatus.SUCCEEDED, 200, 0)
    assert sorted(sink.rows, key=lambda row: str(row["Id"])) == [
        {"Id": text, "Said": text, "Made": f"<{text}>", "Constant": INJECTIONS[0]} for text in sorted(INJECTIONS)
    ]
