"""A sync whose definition, or whose table, changes between two runs into something that old knowledge misreads."""

import asyncpg
import pytest

from tailrace.core.runs import RunKind, RunStatus
from tailrace.core.syncs import FieldMapping, SyncMode
from tailrace.store.connections import ConnectionDraft, ConnectionKind, Connections
from tests.executor.sink import Sink
from tests.executor.yard import Yard
from tests.fixtures.postgres import PostgresServer

BY_AT = {
    "source_query": "SELECT id, email, at FROM people",
    "reading": {"type": "cursor", "column": "at", "look_back_s": 0},
}
TO_TIME = "ALTER TABLE people ALTER at TYPE timestamptz USING to_timestamp(at)"
TO_NUMBER = "ALTER TABLE people ALTER at TYPE int USING -extract(epoch FROM at)::int"
NEW_KIND = pytest.mark.parametrize(
    ("kind", "value", "change"),
    [("int", "1760000000", TO_TIME), ("timestamptz", "'2025-10-09T08:53:20Z'", TO_NUMBER)],
    ids=["numbers become times", "times become numbers"],
)


async def read_by(yard: Yard, kind: str, value: str, mode: SyncMode) -> None:
    """A first run by a cursor of that kind."""
    await yard.warehouse.execute(f"ALTER TABLE people ADD at {kind} DEFAULT {value}")
    await yard.change_sync(**BY_AT, sync_mode=mode)
    await yard.add_people(1, 5)
    await yard.run()
    await yard.warehouse.execute("ALTER TABLE people ALTER at DROP DEFAULT")


@NEW_KIND
async def test_cursor_that_changed_its_kind_begins_anew(
    yard: Yard, sink: Sink, kind: str, value: str, change: str
) -> None:
    await read_by(yard, kind, value, SyncMode.UPSERT)
    await yard.warehouse.execute(change)
    await yard.warehouse.execute("INSERT INTO people SELECT 6, 'six', max(at) FROM people")

    first, second = await yard.run(), await yard.run()

    assert (first.books.delivered, second.books.delivered) == (6, 0)
    assert sink.times_by_id[6] == 1


@NEW_KIND
async def test_cursor_that_changed_its_kind_adds_nothing_a_second_time(
    yard: Yard, sink: Sink, kind: str, value: str, change: str
) -> None:
    await read_by(yard, kind, value, SyncMode.INSERT)
    await yard.warehouse.execute(change)

    run = await yard.run()

    assert (run.status, run.error_code) == (RunStatus.FAILED, "CURSOR_TYPE_CHANGED")
    assert set(sink.times_by_id.values()) == {1}


@pytest.mark.parametrize(
    "reading",
    [{"type": "version", "column": "ver"}, {"type": "cursor", "column": "id", "look_back_s": 0}, {"type": "snapshot"}],
    ids=lambda reading: str(reading["type"]),
)
async def test_rows_of_another_source_are_not_taken_for_those_of_the_one_before(
    yard: Yard, sink: Sink, postgres_server: PostgresServer, reading: dict[str, object]
) -> None:
    await yard.warehouse.execute("ALTER TABLE people ADD ver int DEFAULT 1")
    query = {"source_query": "SELECT id, email, ver FROM people", "reading": reading}
    await yard.change_sync(**query)
    await yard.add_people(1, 5)
    await yard.run()
    async with postgres_server.fresh_database() as name:
        url = postgres_server.dsn(name)
        connection = await asyncpg.connect(url)
        await connection.execute(
            "CREATE TABLE people AS SELECT n AS id, 'other' AS email, 1 AS ver FROM generate_series(1, 5) AS n"
        )
        await connection.close()
        connections = Connections(yard.chassis.database, yard.chassis.box)
        other = ConnectionDraft("other", {"url": "***", "allow_superuser": True}, {"/url": url})
        source = await connections.create(yard.sync.workspace_id, ConnectionKind.SOURCE, "postgres", other)
        await yard.change_sync(**query, source_id=source.id)

        await yard.run()

    assert [row["email"] for row in sink.rows[5:]] == ["other"] * 5


async def test_replay_of_letters_with_a_key_of_other_columns_leaves_them_as_they_are(yard: Yard, sink: Sink) -> None:
    await yard.add_people(1, 5)
    sink.is_bad = lambda row: row["id"] == 3
    await yard.run()
    keyed = [FieldMapping(source=name, destination=name, key=True) for name in ("id", "email")]
    await yard.change_sync(field_mappings=keyed)

    run = await yard.replay()

    letters = await yard.chassis.database.fetch("SELECT state FROM dead_letters")
    assert (run.status, run.kind, run.books.read) == (RunStatus.SUCCEEDED, RunKind.REPLAY, 0)
    assert [letter["state"] for letter in letters] == ["open"]


@pytest.mark.parametrize("code", ["DUPLICATE_KEY", "NULL_KEY", "KEY_TOO_LONG", "DUPLICATE_MAPPED_KEY"])
async def test_code_of_a_destination_that_reads_as_one_of_ours_closes_no_letter(
    yard: Yard, sink: Sink, code: str
) -> None:
    sink.is_bad, sink.code = lambda row: row["id"] == 3, code
    await yard.add_people(1, 5)

    first, second = await yard.run(), await yard.run()

    letters = await yard.chassis.database.fetch("SELECT error_code, state FROM dead_letters")
    assert (first.books.rejected, second.books.skipped) == (1, 5)
    assert [tuple(letter) for letter in letters] == [(f"DESTINATION_{code}", "open")]


@pytest.mark.parametrize(
    "change",
    [{"object_name": "friends"}, {"sync_mode": SyncMode.DELETE}, {"reading": {"type": "cursor", "column": "id"}}],
    ids=["object", "mode", "reading"],
)
async def test_letter_of_an_earlier_definition_is_closed_once_its_row_is_delivered(
    yard: Yard, sink: Sink, change: dict[str, object]
) -> None:
    await yard.add_people(1, 5)
    sink.is_bad = lambda row: row["id"] == 3
    await yard.run()
    sink.is_bad = lambda _: False
    await yard.change_sync(**change)

    run = await yard.run()

    letters = await yard.chassis.database.fetch("SELECT state, resolution FROM dead_letters")
    assert run.books.delivered == 5
    assert [tuple(letter) for letter in letters] == [("resolved", "superseded")]


async def test_letter_of_a_row_that_is_gone_and_was_never_inserted_is_closed(yard: Yard, sink: Sink) -> None:
    await yard.change_sync(sync_mode=SyncMode.INSERT)
    await yard.add_people(1, 5)
    sink.is_bad = lambda row: row["id"] == 3
    await yard.run()
    await yard.warehouse.execute("DELETE FROM people WHERE id IN (3, 4)")

    first, second = await yard.run(), await yard.run()

    letters = await yard.chassis.database.fetch("SELECT state, resolution FROM dead_letters")
    assert (first.books.kept, second.books.kept) == (2, 1)
    assert [tuple(letter) for letter in letters] == [("resolved", "superseded")]
