"""Runs whose fields are made: templates, casts, hashes and policies for NULL, from a table to a service."""

from typing import Any

from tailrace.core.mappings import OnTypeMismatch
from tailrace.core.runs import RunStatus
from tailrace.core.syncs import SyncMode
from tests.executor.sink import Sink
from tests.executor.yard import Yard

# What Meta publishes for John_Smith@gmail.com.
HASHED = "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"
MAPPINGS = [
    {"source": "id", "destination": "Id", "key": True, "cast": "string"},
    {"source": "email", "destination": "em", "hash": {"kind": "email", "platform": "meta"}},
    {"template": "{{ first }} {{ last | upcase }}", "destination": "Name"},
    {"source": "score", "destination": "Score", "cast": "integer"},
    {"source": "phone", "destination": "Phone", "on_null": "skip"},
    {"source": "note", "destination": "Note", "on_null": "clear"},
    {"value": "warehouse", "destination": "Origin"},
]
PEOPLE = """
    DROP TABLE people;
    CREATE TABLE people (id int, email text, first text, last text, score text, phone text, note text);
    INSERT INTO people VALUES
        (1, ' John_Smith@gmail.com', 'John', 'Smith', ' 12.0 ', '+41 79 123 45 67', 'hello'),
        (2, NULL, 'Jane', NULL, NULL, NULL, NULL),
        (3, 'nobody', 'No', 'Body', '3', NULL, NULL),
        (4, NULL, 'Max', 'Muster', 'many', NULL, NULL);
"""
JOHN = {
    "Id": "1",
    "em": HASHED,
    "Name": "John SMITH",
    "Score": 12,
    "Phone": "+41 79 123 45 67",
    "Note": "hello",
    "Origin": "warehouse",
}
JANE = {"Id": "2", "em": None, "Name": "Jane ", "Score": None, "Note": None, "Origin": "warehouse"}


async def prepare(yard: Yard, **changes: Any) -> None:  # noqa: ANN401 - of any field
    await yard.warehouse.execute(PEOPLE)
    await yard.change_sync(**{"source_query": "SELECT * FROM people", "field_mappings": MAPPINGS, **changes})


async def test_fields_are_made_and_what_cannot_be_made_is_a_dead_letter(
    yard: Yard, sink: Sink, letters_sql: str
) -> None:
    await prepare(yard)

    run = await yard.run()

    assert (run.status, run.books.delivered, run.books.failed) == (RunStatus.SUCCEEDED, 2, 2)
    assert sorted(sink.rows, key=lambda row: str(row["Id"])) == [JOHN, JANE]
    letters = await yard.chassis.database.fetch(letters_sql)
    assert [tuple(letter) for letter in letters] == [("TYPE_MISMATCH", 2)]


async def test_second_run_sends_nothing_until_a_cell_changes_what_is_sent(yard: Yard, sink: Sink) -> None:
    await prepare(yard)
    await yard.run()
    sink.rows.clear()

    unchanged = await yard.run()
    await yard.warehouse.execute("UPDATE people SET score = '12', email = 'john_smith@gmail.com' WHERE id = 1")
    same = await yard.run()
    await yard.warehouse.execute("UPDATE people SET phone = '+41 44 123 45 67' WHERE id = 2")
    changed = await yard.run()

    assert (unchanged.books.delivered, same.books.delivered, changed.books.delivered) == (0, 0, 1)
    assert sink.rows == [{**JANE, "Phone": "+41 44 123 45 67"}]


async def test_row_that_left_is_deleted_by_the_key_that_was_sent(yard: Yard, sink: Sink) -> None:
    await prepare(yard, sync_mode=SyncMode.MIRROR, max_delete_ratio=1.0)
    await yard.run()
    sink.rows.clear()
    await yard.warehouse.execute("DELETE FROM people WHERE id = 1")

    run = await yard.run()

    assert (run.status, run.books.deleted) == (RunStatus.SUCCEEDED, 1)
    assert sink.rows == [{"Id": "1"}]


async def test_replay_of_a_row_that_left_deletes_no_record_that_another_row_has(yard: Yard, sink: Sink) -> None:
    await yard.warehouse.execute("ALTER TABLE people ADD code text")
    await yard.warehouse.execute("INSERT INTO people (code) VALUES ('12.0')")
    key = {"source": "code", "destination": "Id", "key": True, "cast": "integer"}
    query = "SELECT code FROM people"
    await yard.change_sync(source_query=query, field_mappings=[key], sync_mode=SyncMode.MIRROR, max_delete_ratio=1.0)
    await yard.run()
    await yard.warehouse.execute("INSERT INTO people (code) VALUES ('12')")
    await yard.run()
    sink.rows.clear()
    await yard.warehouse.execute("DELETE FROM people WHERE code = '12.0'")

    run = await yard.replay()

    assert (run.status, run.books.kept, run.books.deleted) == (RunStatus.SUCCEEDED, 1, 0)
    assert sink.rows == []


async def test_value_that_cannot_be_made_ends_the_run_where_the_sync_says_so(yard: Yard) -> None:
    await prepare(yard, on_type_mismatch=OnTypeMismatch.FAIL_RUN)

    run = await yard.run()

    assert (run.status, run.error_code) == (RunStatus.FAILED, "TYPE_MISMATCH")
    assert "field 'em' needs an e-mail address" in (run.error_message or "")


async def test_mapping_that_cannot_work_fails_the_run_with_all_that_is_wrong(yard: Yard, sink: Sink) -> None:
    wrong = [
        MAPPINGS[0],
        {"template": "{{ nickname }}", "destination": "Name"},
        {"source": "id", "destination": "Day", "cast": "date"},
    ]
    await prepare(yard, field_mappings=wrong)

    run = await yard.run()

    assert (run.status, run.error_code, run.books.read) == (RunStatus.FAILED, "MAPPING_INVALID", 0)
    assert run.error_message == (
        "the query has no column 'nickname' (mapped to 'Name');"
        " it has: id, email, first, last, score, phone, note;"
        " field 'Day': a value of kind integer is never made a date: cast it in the query"
    )
    assert sink.rows == []
