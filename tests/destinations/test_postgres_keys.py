"""Which row of a table a row of a batch is, where keys that differ to us may be the same to the table."""

from collections.abc import AsyncIterator

import orjson
import pytest
import pytest_asyncio

from tailrace.core.errors import BatchRefused
from tailrace.core.rows import DELIVERED, Operation, Verdict
from tailrace.testing.destination_contract import batch_of, failure_of, verdicts
from tests.destinations.postgres_rig import PostgresRig, opened_rig
from tests.destinations.test_postgres_destination import plan


@pytest_asyncio.fixture
async def rig(empty_database_url: str) -> AsyncIterator[PostgresRig]:
    async with opened_rig(empty_database_url) as opened:
        yield opened


async def test_keys_that_the_table_takes_for_one_are_refused_together_and_go_alone(rig: PostgresRig) -> None:
    await rig.admin.execute("CREATE TABLE things (id int PRIMARY KEY, name text)")
    writing = await plan(rig, Operation.UPSERT, ("id",), ("id", "name"))
    same = [b'{"id":"1","name":"a"}', b'{"id":"01","name":"b"}']

    refusal = await failure_of(rig.destination.write(writing, batch_of(Operation.UPSERT, *same)))
    alone = [await rig.destination.write(writing, batch_of(Operation.UPSERT, body)) for body in same]

    assert isinstance(refusal, BatchRefused)
    assert [result.outcomes for result in alone] == [[DELIVERED], [DELIVERED]]
    assert await rig.admin.fetchval("SELECT name FROM things") == "b"


async def test_insert_of_two_keys_that_the_table_takes_for_one_keeps_the_first(rig: PostgresRig) -> None:
    await rig.admin.execute("CREATE TABLE things (id int PRIMARY KEY, name text)")
    writing = await plan(rig, Operation.INSERT, ("id",), ("id", "name"))

    result = await rig.destination.write(
        writing, batch_of(Operation.INSERT, b'{"id":"1","name":"a"}', b'{"id":"01","name":"b"}')
    )

    assert verdicts(result.outcomes) == [Verdict.DELIVERED, Verdict.REJECTED]
    assert await rig.admin.fetchval("SELECT name FROM things") == "a"


async def test_update_of_two_keys_that_the_table_takes_for_one_leaves_one_for_later(rig: PostgresRig) -> None:
    await rig.admin.execute("CREATE TABLE things (id int PRIMARY KEY, name text); INSERT INTO things VALUES (1), (2)")
    writing = await plan(rig, Operation.UPDATE, ("id",), ("id", "name"))
    bodies = [orjson.dumps({"id": key, "name": key}) for key in ("1", "01", "2", "3", "03")]

    result = await rig.destination.write(writing, batch_of(Operation.UPDATE, *bodies))

    assert sorted(verdicts(result.outcomes[:2])) == [Verdict.DELIVERED, Verdict.RETRY]
    assert [outcome.code for outcome in result.outcomes[2:]] == ["", "NOT_FOUND", "NOT_FOUND"]


async def test_insert_that_is_sent_again_is_delivered_once(rig: PostgresRig) -> None:
    await rig.admin.execute("CREATE TABLE things (id int PRIMARY KEY, n numeric(9, 2), j json, extra text DEFAULT 'x')")
    writing = await plan(rig, Operation.INSERT, ("id",), ("id", "n", "j"))
    mine = [b'{"id":1,"n":1.5,"j":{"a":[1]}}', b'{"id":2,"n":null,"j":null}']
    await rig.destination.write(writing, batch_of(Operation.INSERT, *mine))

    again = await rig.destination.write(
        writing, batch_of(Operation.INSERT, *mine, b'{"id":3,"n":3}', b'{"id":"01","n":1.51,"j":{"a":[1]}}')
    )

    assert writing.is_idempotent
    assert verdicts(again.outcomes) == [*[Verdict.DELIVERED] * 3, Verdict.REJECTED]
    assert await rig.admin.fetchval("SELECT count(*) FROM things") == 3


async def test_insert_into_a_table_that_changes_keys_is_delivered(rig: PostgresRig) -> None:
    await rig.admin.execute("""
        CREATE TABLE things (id text PRIMARY KEY);
        CREATE FUNCTION lower_id() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN NEW.id := lower(NEW.id); RETURN NEW; END $$;
        CREATE TRIGGER lower_id BEFORE INSERT ON things FOR EACH ROW EXECUTE FUNCTION lower_id()
    """)
    writing = await plan(rig, Operation.INSERT, ("id",), ("id",))

    result = await rig.destination.write(writing, batch_of(Operation.INSERT, b'{"id":"A"}', b'{"id":"B"}'))

    assert result.outcomes == [DELIVERED, DELIVERED]


async def test_insert_without_a_unique_key_adds_every_row(rig: PostgresRig) -> None:
    await rig.admin.execute("CREATE TABLE things (id int, name text)")
    writing = await plan(rig, Operation.INSERT, ("id",), ("id", "name"))
    batch = batch_of(Operation.INSERT, b'{"id":1,"name":"a"}', b'{"id":2,"name":"b"}')

    await rig.destination.write(writing, batch)
    again = await rig.destination.write(writing, batch)

    assert not writing.is_idempotent
    assert again.outcomes == [DELIVERED, DELIVERED]
    assert await rig.admin.fetchval("SELECT count(*) FROM things") == 4


async def test_key_of_several_fields_is_matched_as_a_whole(rig: PostgresRig) -> None:
    await rig.admin.execute("""
        CREATE TABLE things (region text, id int, name text, kept text DEFAULT 'kept');
        CREATE UNIQUE INDEX ON things (id, region) INCLUDE (name);
        INSERT INTO things VALUES ('eu', 1, 'a', 'mine'), ('us', 1, 'b', 'mine')
    """)
    writing = await plan(rig, Operation.UPSERT, ("region", "id"), ("region", "id", "name"))

    await rig.destination.write(
        writing, batch_of(Operation.UPSERT, b'{"region":"us","id":1,"name":"B"}', b'{"region":"us","id":2,"name":"C"}')
    )

    records = await rig.admin.fetch("SELECT region, id, name, kept FROM things ORDER BY region, id")
    assert list(map(tuple, records)) == [("eu", 1, "a", "mine"), ("us", 1, "B", "mine"), ("us", 2, "C", "kept")]


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        (Operation.UPSERT, ""),
        (Operation.INSERT, "ALREADY_EXISTS"),
        (Operation.UPDATE, "NOT_FOUND"),
        (Operation.DELETE, ""),
    ],
)
async def test_row_that_a_trigger_drops_counts_as_the_page_says(
    rig: PostgresRig, operation: Operation, code: str
) -> None:
    await rig.admin.execute("""
        CREATE TABLE things (id int PRIMARY KEY, name text);
        INSERT INTO things VALUES (2, 'kept');
        CREATE FUNCTION drop_it() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
        CREATE TRIGGER drops BEFORE INSERT OR UPDATE OR DELETE ON things FOR EACH ROW EXECUTE FUNCTION drop_it();
    """)
    fields = ("id",) if operation is Operation.DELETE else ("id", "name")
    writing = await plan(rig, operation, ("id",), fields)

    result = await rig.destination.write(writing, batch_of(operation, b'{"id":2,"name":"a"}'))

    assert [outcome.code for outcome in result.outcomes] == [code]
