import asyncio
import itertools

import pytest

from tailrace.connector_kit.postgres_settings import PostgresWarehouseSettings
from tailrace.connector_kit.registry import validate_settings, warehouse_type
from tailrace.connector_kit.row_hashes import Hashing
from tailrace.connector_kit.warehouse import Reading
from tailrace.core.errors import Invalid, SourceInvalid, SourceUnavailable
from tailrace.core.rows import ColumnKind, RowKey
from tailrace.testing.cursor_contract import CursorContract
from tailrace.testing.eventually import eventually
from tailrace.testing.key_sample_contract import KeySampleContract
from tailrace.testing.row_hash_contract import RowHashContract, hashes
from tailrace.testing.warehouse_contract import CredentialsContract, WarehouseContract, collect, keys, read, rows, told
from tailrace.warehouses.postgres import PostgresWarehouse
from tests.warehouses.postgres_rig import PostgresWarehouseRig, settings

_JSON = ColumnKind.JSON
_TEXT = ColumnKind.TEXT
_TIME = ColumnKind.TIMESTAMP


class TestPostgresWarehouse(WarehouseContract, CredentialsContract, CursorContract, RowHashContract, KeySampleContract):
    pass


async def test_hash_covers_the_digits_that_a_number_is_written_with(rig: PostgresWarehouseRig) -> None:
    query = "SELECT * FROM (VALUES ('a', 1::numeric), ('b', 1.0), ('c', 1.00)) AS made (id, a)"

    assert len(set((await hashes(rig, query, Hashing(["a"], 7))).values())) == 3


def test_registry_finds_it() -> None:
    assert warehouse_type("postgres") is PostgresWarehouse


@pytest.mark.parametrize(
    ("expression", "kind", "value"),
    [
        ("1.50::numeric", ColumnKind.DECIMAL, "1.50"),
        ("'NaN'::numeric", ColumnKind.DECIMAL, "NaN"),
        ("'1e400'::numeric", ColumnKind.DECIMAL, "1" + "0" * 400),
        ("12.3::numeric::money", ColumnKind.DECIMAL, "12.30"),
        ("0.1::float4", ColumnKind.FLOAT, 0.1),
        ("1e300::float8", ColumnKind.FLOAT, 1e300),
        ("'-Infinity'::float8", ColumnKind.FLOAT, float("-inf")),
        ("9223372036854775807", ColumnKind.INTEGER, 9223372036854775807),
        ("7::smallint", ColumnKind.INTEGER, 7),
        ("4294967295::oid", ColumnKind.INTEGER, 4294967295),
        ("timestamptz '2026-03-01 12:00:00.123456+05:30'", _TIME, "2026-03-01T06:30:00.123456Z"),
        ("timestamp '2026-03-01 12:00'", _TIME, "2026-03-01T12:00:00"),
        ("timestamptz '12000-01-01 00:00+00'", _TIME, "12000-01-01T00:00:00Z"),
        ("timestamptz 'infinity'", _TIME, "infinity"),
        ("timestamptz '0044-03-15 12:00+00 BC'", _TIME, "0044-03-15T12:00:00Z BC"),
        ("timestamptz '0001-01-01 00:00+00'", _TIME, "0001-01-01T00:00:00Z"),
        ("date '2026-03-01'", _TIME, "2026-03-01"),
        ("time '04:05:06.7'", _TEXT, "04:05:06.7"),
        ("interval '1 year 2 days 3 hours'", _TEXT, "P1Y2DT3H"),
        ("'6f1ad5fc-1b2c-4c4d-8e8f-0123456789ab'::uuid", _TEXT, "6f1ad5fc-1b2c-4c4d-8e8f-0123456789ab"),
        (r"'\x00deadff'::bytea", _TEXT, r"\x00deadff"),
        ("'10.1.2.3/8'::inet", _TEXT, "10.1.2.3/8"),
        ("int4range(1, 5)", _TEXT, "[1,5)"),
        ("'(1,2)'::point", _TEXT, "(1,2)"),
        ("B'101'", _TEXT, "101"),
        ("NULL", _TEXT, None),
        ('\'{"a":  1.00, "a": 2}\'::json', _JSON, '{"a":  1.00, "a": 2}'),
        ("'{\"a\": 12345678901234567890.10}'::jsonb", _JSON, '{"a": 12345678901234567890.10}'),
        ("'null'::jsonb", _JSON, "null"),
        ("ARRAY[1.50, NULL, 'NaN'::numeric]", _JSON, '[1.50,null,"NaN"]'),
        ("ARRAY[[1, 2], [3, 4]]", _JSON, "[[1,2],[3,4]]"),
        ("ARRAY['a\"b', 'é']", _JSON, '["a\\"b","é"]'),
        ("ARRAY[timestamptz '2026-03-01 12:00+00']", _JSON, '["2026-03-01T12:00:00+00:00"]'),
        ("'{}'::text[]", _JSON, "[]"),
        ("ROW(1, 'x')", _JSON, '{"f1":1,"f2":"x"}'),
    ],
)
async def test_value_of_any_type_is_exact(
    rig: PostgresWarehouseRig, expression: str, kind: ColumnKind, value: object
) -> None:
    query = f"SELECT 'k' AS id, {expression} AS v"

    blocks = await read(rig, query, "id")

    assert rows(blocks) == [("k", value)]
    assert (await rig.warehouse.columns(query))[1].kind is kind


async def test_values_of_types_made_by_users_come_as_text_or_json(rig: PostgresWarehouseRig) -> None:
    await rig.admin.execute("""
        CREATE TYPE mood AS ENUM ('sad', 'ok');
        CREATE DOMAIN cents AS bigint;
        CREATE TYPE place AS (street text, "no" numeric)
    """)
    query = "SELECT 'ok'::mood AS id, 5::cents AS c, ROW('s', 1.10)::place AS p, ARRAY['sad'::mood] AS m"

    blocks = await read(rig, query, "id")

    assert rows(blocks) == [("ok", 5, '{"street":"s","no":1.10}', '["sad"]')]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 'a' AS id;",
        "SELECT 'a' AS id ; ; -- the end",
        "SELECT 'a' AS id -- the end",
        "-- first\nSELECT 'a' AS id /* ; /* nested ; */ -- */ ; /* the end */",
        "SELECT 'a' AS id, ';' AS b, E'\\';' AS c, $$;$$ AS d, $x$;$$;$x$ AS e, 'it''s;' AS \"f;\";",
        "SELECT 'a' AS id, name'\\' AS n; -- '",
        "SELECT 'a' AS id, 1 AS a$b$; -- $b$",
        "WITH w AS (SELECT 'a' AS id) SELECT * FROM w;",
        "(SELECT 'a' AS id ORDER BY 1 LIMIT 1);",
        "TABLE a_table",
    ],
)
async def test_any_way_to_write_a_query_works(rig: PostgresWarehouseRig, query: str) -> None:
    await rig.admin.execute("CREATE TABLE a_table AS SELECT 'a' AS id")

    blocks = await read(rig, query, "id")

    assert keys(blocks) == [("a",)]


async def test_place_of_a_mistake_is_told(rig: PostgresWarehouseRig) -> None:
    with pytest.raises(SourceInvalid, match=r"syntax error at or near \"FROM\" \(line 2, column 3\)"):
        await rig.warehouse.columns("SELECT 1 AS id\n, FROM users")


async def test_query_with_parameters_is_refused(rig: PostgresWarehouseRig) -> None:
    with pytest.raises(SourceInvalid, match="parameters") as refused:
        await rig.warehouse.columns("SELECT $1::text AS id")

    assert refused.value.code == "SOURCE_QUERY"


async def test_query_that_would_write_is_refused_in_plain_words(rig: PostgresWarehouseRig) -> None:
    deletes = "DELETE FROM pg_class RETURNING relname"
    assert isinstance(rig.warehouse, PostgresWarehouse)

    with pytest.raises(SourceInvalid, match="must be a SELECT that only reads"):
        await rig.warehouse.columns(deletes)
    with pytest.raises(SourceInvalid, match="must be a SELECT that only reads"):
        await rig.warehouse.rows_about(deletes)


async def test_columns_are_told_without_running_the_query(rig: PostgresWarehouseRig) -> None:
    query = "SELECT x::text AS id, 1 / x AS n, pg_sleep(60)::text AS s FROM generate_series(0, 1) AS x"

    async with asyncio.timeout(5):
        columns = await rig.warehouse.columns(query)

    assert [column.name for column in columns] == ["id", "n", "s"]


async def test_value_that_breaks_the_query_is_not_told(rig: PostgresWarehouseRig) -> None:
    query = "SELECT v AS id, v::int AS n FROM (VALUES ('private-value')) AS x (v)"

    with pytest.raises(SourceInvalid, match="22P02") as refused:
        await read(rig, query, "id")

    assert "private-value" not in told(refused.value)


async def test_columns_that_changed_since_they_were_looked_at_stop_the_read(rig: PostgresWarehouseRig) -> None:
    await rig.admin.execute("CREATE TABLE users (id text, name text)")
    await rig.warehouse.columns("SELECT * FROM users")
    await rig.admin.execute("ALTER TABLE users ALTER name TYPE bigint USING 1")

    with pytest.raises(SourceInvalid) as refused:
        await read(rig, "SELECT * FROM users", "id")

    assert refused.value.code == "SCHEMA_CHANGED"


async def test_one_read_sees_one_state(rig: PostgresWarehouseRig) -> None:
    await rig.admin.execute("CREATE TABLE users AS SELECT n AS id FROM generate_series(1, 30) n")
    async with rig.warehouse.read(Reading("SELECT * FROM users", ("id",), rows_per_block=10)) as blocks:
        first = await anext(blocks)
        await rig.admin.execute("DELETE FROM users")
        rest = [block async for block in blocks]

    assert len(keys([first, *rest])) == 30


async def test_connection_lost_in_the_middle_is_unavailable(rig: PostgresWarehouseRig) -> None:
    query = "SELECT g::text AS id, repeat('x', 1000) AS v FROM generate_series(1, 20000) g"
    async with rig.warehouse.read(Reading(query, ("id",), rows_per_block=10)) as blocks:
        await anext(blocks)
        await rig.admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'tailrace' AND datname = current_database()"
        )

        # What had come before is still given.
        with pytest.raises(SourceUnavailable):
            [block async for block in blocks]


async def test_slow_query_ends_at_the_limit(rig: PostgresWarehouseRig) -> None:
    async with PostgresWarehouse.open(settings(rig.url, statement_timeout_s=0.2)) as warehouse:
        with pytest.raises(SourceUnavailable) as failed:
            await read(PostgresWarehouseRig(warehouse, rig.admin, rig.url), rig.endless_query, "id")

    assert failed.value.code == "SOURCE_TIMEOUT"


async def test_session_settings_of_the_server_change_no_value(rig: PostgresWarehouseRig) -> None:
    database = await rig.admin.fetchval("SELECT quote_ident(current_database())")
    await rig.admin.execute(f"""
        ALTER DATABASE {database} SET timezone = 'Asia/Kathmandu';
        ALTER DATABASE {database} SET datestyle = 'German';
        ALTER DATABASE {database} SET bytea_output = 'escape';
        ALTER DATABASE {database} SET extra_float_digits = -5
    """)
    query = r"SELECT timestamptz '2026-03-01 12:00+00' AS id, '\x01'::bytea AS b, (1.0 / 3)::float4 AS f"

    async with PostgresWarehouse.open(settings(rig.url)) as warehouse:
        blocks = await read(PostgresWarehouseRig(warehouse, rig.admin, rig.url), query, "id")

    assert keys(blocks) == [("2026-03-01 12:00:00+00",)]
    assert rows(blocks) == [("2026-03-01T12:00:00Z", r"\x01", 0.33333334)]


async def test_key_of_any_type_can_be_read_on_from(rig: PostgresWarehouseRig) -> None:
    query = "SELECT timestamptz '2026-03-01 12:00+00' + n * interval '1 hour' AS id FROM generate_series(1, 3) n"
    whole = await read(rig, query, "id")

    rest = await collect(rig, Reading(query, ("id",), after=keys(whole)[0]))

    assert keys(rest) == keys(whole)[1:]


@pytest.mark.parametrize("more", ["", ", 1 AS one"], ids=["alone", "beside another column"])
async def test_empty_text_is_a_key_like_any_other(rig: PostgresWarehouseRig, more: str) -> None:
    query = f"SELECT id{more} FROM (VALUES (''), ('')) AS people (id)"

    async with rig.warehouse.read(Reading(query, ("id",))) as blocks:
        found = [(row[0], key) async for block in blocks for row, key in zip(block.rows, block.keys, strict=True)]

    assert found == [("", ("",)), ("", ("",))]


async def test_closing_leaves_no_connection(rig: PostgresWarehouseRig) -> None:
    async with PostgresWarehouse.open(settings(rig.url)) as warehouse:
        await warehouse.check()

    await eventually(lambda: _connections(rig), 1)


async def _connections(rig: PostgresWarehouseRig) -> int:
    count = await rig.admin.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tailrace' AND datname = current_database()"
    )
    return int(count)


@pytest.mark.parametrize(
    ("raw", "told_about"),
    [
        ({}, "host and user are needed"),
        ({"url": "postgresql://u:canary@h/d", "host": "h"}, "not both"),
        ({"url": "postgresql://u:canary@h:port/d"}, "malformed"),
        ({"url": "mysql://u:canary@h/d"}, "postgresql://user"),
        ({"url": "postgresql://u:canary@h/d?sslkey=/etc/passwd"}, "host, sslmode"),
        ({"url": "postgresql://u:canary@h/d?sslmode=canary"}, "sslmode"),
        ({"host": "h", "user": "u", "passfile": "canary"}, "passfile"),
        ({"host": "h", "user": "u", "ssl_root_certificates": "canary"}, "PEM"),
        ({"host": "h", "user": "u", "statement_timeout_s": 0}, "statement_timeout_s"),
    ],
)
def test_settings_that_cannot_work_are_refused_without_their_values(raw: dict[str, object], told_about: str) -> None:
    with pytest.raises(Invalid, match=told_about) as refused:
        validate_settings(PostgresWarehouseSettings, raw)

    assert "canary" not in told(refused.value)


def test_settings_do_not_borrow_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for_everyone = itertools.product(("PGPASSWORD", "PGUSER", "PGHOST", "PGDATABASE"), ["borrowed"])
    list(itertools.starmap(monkeypatch.setenv, for_everyone))

    options = PostgresWarehouseSettings(host="h", user="u").connect_options()

    assert options["password"] == ""
    assert (options["host"], options["database"]) == ("h", "u")


@pytest.mark.parametrize("key", [RowKey(("x'; DROP TABLE users; --",)), RowKey(('"',)), RowKey(("\\",))])
async def test_hostile_keys_are_data(rig: PostgresWarehouseRig, key: RowKey) -> None:
    await rig.admin.execute("CREATE TABLE users (id text); INSERT INTO users VALUES ('a'), ('zz')")
    await rig.admin.execute("INSERT INTO users VALUES ($1)", key[0])

    blocks = await collect(rig, Reading("SELECT * FROM users", ("id",), only=[key]))

    assert keys(blocks) == [key]


async def test_blocks_of_large_rows_are_small(rig: PostgresWarehouseRig) -> None:
    query = "SELECT g AS id, repeat('x', 4000000) AS v FROM generate_series(1, 30) AS g"

    blocks = await read(rig, query, "id")

    assert len(keys(blocks)) == 30
    assert max(len(block.rows) for block in blocks) < 5
