import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from functools import cache

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from snowflake import connector
from snowflake.connector.errors import DatabaseError, ForbiddenError, ProgrammingError

from tailrace.connector_kit.registry import secret_fields, validate_settings, warehouse_type
from tailrace.connector_kit.snowflake_errors import classified, signing_in
from tailrace.connector_kit.snowflake_settings import EMULATOR, SnowflakeSettings
from tailrace.connector_kit.snowflake_sql import Field, one_select, reading_sql
from tailrace.connector_kit.warehouse import Reading, Warehouse
from tailrace.core.errors import CredentialsRefused, Invalid, SourceInvalid, SourceUnavailable, TailraceError
from tailrace.core.rows import Column, ColumnKind
from tailrace.testing.cursor_contract import CursorContract
from tailrace.testing.eventually import eventually
from tailrace.testing.snowflake_server import Snowflake, new_key
from tailrace.testing.warehouse_contract import (
    CredentialsContract,
    LockedRig,
    WarehouseContract,
    collect,
    keys,
    read,
    rows,
    told,
)
from tailrace.warehouses.snowflake import SnowflakeWarehouse

pytestmark = pytest.mark.xdist_group("snowflake")

_JSON = ColumnKind.JSON
_TEXT = ColumnKind.TEXT
_TIME = ColumnKind.TIMESTAMP
_TYPES = {
    ColumnKind.TEXT: "VARCHAR",
    ColumnKind.INTEGER: "NUMBER(38, 0)",
    ColumnKind.FLOAT: "FLOAT",
    ColumnKind.DECIMAL: "NUMBER(38, 10)",
    ColumnKind.BOOLEAN: "BOOLEAN",
    ColumnKind.TIMESTAMP: "TIMESTAMP_LTZ",
}


class SnowflakeRig(LockedRig):
    bad_query = 'SELECT 1 FROM "nonsense"'
    endless_query = """
        SELECT 'a' AS "id", COUNT(*) AS n
        FROM TABLE(GENERATOR(ROWCOUNT => 10000000)) AS a, TABLE(GENERATOR(ROWCOUNT => 1000000)) AS b
        WHERE RANDOM() = RANDOM()
    """

    def __init__(self, warehouse: Warehouse, account: Snowflake) -> None:
        self.warehouse = warehouse
        self.account = account
        self.secret = account.token

    def query(self, columns: Sequence[Column], rows: Sequence[Sequence[str | None]]) -> str:
        inner = [f"c{n}" for n in range(len(columns))]
        names = ", ".join(
            f'{c} AS "{column.name.replace(chr(34), chr(34) * 2)}"' for c, column in zip(inner, columns, strict=True)
        )
        lines = (", ".join(map(_literal, row, columns, inner)) for row in rows)
        return f"SELECT {names} FROM ({' UNION ALL '.join(f'SELECT {line}' for line in lines)}) AS v"

    async def queries_running(self) -> int:
        return await self.account.statements_running()

    def unreachable(self) -> AbstractAsyncContextManager[Warehouse]:
        return _Elsewhere(settings(self.account, connect_timeout_s=1))

    def unauthorized(self) -> AbstractAsyncContextManager[Warehouse]:
        return SnowflakeWarehouse.open(settings(self.account, token=f"{self.account.token}-canary"))


class _Elsewhere(AbstractAsyncContextManager[Warehouse]):
    """The same account where nobody answers."""

    def __init__(self, chosen: SnowflakeSettings) -> None:
        self._opening = SnowflakeWarehouse.open(chosen)

    async def __aenter__(self) -> Warehouse:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(EMULATOR, "1")
            return await self._opening.__aenter__()

    async def __aexit__(self, *_: object) -> None:
        return


class TestSnowflakeWarehouse(WarehouseContract, CredentialsContract, CursorContract):
    pass


@pytest_asyncio.fixture
async def rig(snowflake: Snowflake) -> AsyncIterator[SnowflakeRig]:
    async with SnowflakeWarehouse.open(settings(snowflake)) as warehouse:
        yield SnowflakeRig(warehouse, snowflake)


def settings(account: Snowflake, /, **options: object) -> SnowflakeSettings:
    raw = {"account": account.account, "user": account.user, "warehouse": "W", "role": "READER", "database": "SHOP"}
    way_in = {} if {"private_key", "password"} & options.keys() else {"token": account.token}
    return validate_settings(SnowflakeSettings, raw | way_in | {"schema_name": "PUBLIC"} | options)


def _literal(value: str | None, column: Column, name: str) -> str:
    written = "NULL" if value is None else "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
    is_typed = value is not None and column.kind is _TEXT
    return f"{written} AS {name}" if is_typed else f"{written}::{_TYPES[column.kind]} AS {name}"


@cache
def other_key() -> str:
    """A key that nobody knows."""
    return new_key()[0]


def run(account: Snowflake, *statements: str) -> None:
    """As the account's owner."""
    with connector.connect(**settings(account).connect_options()) as owner, owner.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def test_registry_finds_it_and_knows_its_secrets() -> None:
    assert warehouse_type("snowflake") is SnowflakeWarehouse
    assert secret_fields(SnowflakeSettings) == {"private_key", "private_key_passphrase", "token", "password"}


@pytest.mark.parametrize(
    ("expression", "kind", "value"),
    [
        ("1.50::NUMBER(10, 2)", ColumnKind.DECIMAL, "1.50"),
        ("7::NUMBER(3, 0)", ColumnKind.INTEGER, 7),
        ("1e300::FLOAT", ColumnKind.FLOAT, 1e300),
        ("'-inf'::FLOAT", ColumnKind.FLOAT, float("-inf")),
        ("FALSE", ColumnKind.BOOLEAN, False),
        ("'2026-03-01 12:00:00.123456 +05:30'::TIMESTAMP_TZ", _TIME, "2026-03-01T06:30:00.123456Z"),
        ("'2026-03-01T12:00:00Z'::TIMESTAMP_LTZ", _TIME, "2026-03-01T12:00:00Z"),
        ("'2026-03-01 12:00:10'::TIMESTAMP_NTZ", _TIME, "2026-03-01T12:00:10"),
        ("'2026-03-01 12:00:00.120'::TIMESTAMP_NTZ", _TIME, "2026-03-01T12:00:00.12"),
        ("'2026-03-01'::DATE", _TIME, "2026-03-01"),
        ("'04:05:06.7'::TIME", _TEXT, "04:05:06.7"),
        ("'04:05:10'::TIME", _TEXT, "04:05:10"),
        ("TO_BINARY('00DEAD', 'HEX')", _TEXT, "00dead"),
        ("NULL", _TEXT, None),
        ('PARSE_JSON(\'{"a": [1, null], "b": "é"}\')', _JSON, '{"a":[1,null],"b":"é"}'),
        ("PARSE_JSON('\"x\"')", _JSON, '"x"'),
        ("OBJECT_CONSTRUCT('k', 1)", _JSON, '{"k":1}'),
        ("PARSE_JSON('[1,2]')", _JSON, "[1,2]"),
    ],
)
async def test_value_of_any_type_is_exact(rig: SnowflakeRig, expression: str, kind: ColumnKind, value: object) -> None:
    query = f"""SELECT 'k' AS "id", {expression} AS v"""

    blocks = await read(rig, query, "id")

    assert rows(blocks) == [("k", value)]
    assert (await rig.warehouse.columns(query))[1] == Column("V", kind)


@pytest.mark.parametrize(
    ("type_name", "scale", "kind", "projection"),
    [
        ("MAP", 0, _JSON, 'TO_JSON(tailrace_rows."c")'),
        ("VECTOR", 0, _JSON, 'TO_JSON(tailrace_rows."c"::ARRAY)'),
        ("GEOGRAPHY", 0, _TEXT, 'ST_ASWKT(tailrace_rows."c")'),
        ("DECFLOAT", 0, ColumnKind.DECIMAL, 'TO_VARCHAR(tailrace_rows."c")'),
        ("INTERVAL_DAY_TIME", 0, _TEXT, 'TO_VARCHAR(tailrace_rows."c")'),
        ("FIXED", 4, ColumnKind.DECIMAL, 'TO_VARCHAR(tailrace_rows."c")'),
    ],
)
def test_type_that_the_emulator_lacks_is_asked_for_as_text(
    type_name: str, scale: int, kind: ColumnKind, projection: str
) -> None:
    field = Field("c", type_name, scale)

    sql, _ = reading_sql(Reading("SELECT 1", ("c",)), [field])

    assert field.kind is kind
    assert sql.startswith(f"SELECT {projection}, ")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 'a' AS \"id\";",
        "SELECT 'a' AS \"id\" ; -- the end",
        "SELECT 'a' AS \"id\" // the end; really",
        "-- first\nSELECT 'a' AS \"id\" /* ; -- */ -- the end",
        "SELECT 'a' AS \"id\", ';?' AS b, 'it\\'s;' AS c, 'it''s;' AS \"e;\"\"?\", $$;'?$$ AS d",
        "WITH w AS (SELECT 'a' AS \"id\") SELECT * FROM w;",
        "(SELECT 'a' AS \"id\" ORDER BY 1 LIMIT 1)",
        "select distinct 'a' as \"id\" union all select 'a' limit 1",
    ],
)
async def test_any_way_to_write_a_query_works(rig: SnowflakeRig, query: str) -> None:
    whole = await read(rig, query, "id")
    on = await collect(rig, Reading(query, ("id",), after=keys(whole)[0]))

    assert keys(whole) == [("a",)]
    assert on == []


async def test_names_without_quotes_are_in_capitals(rig: SnowflakeRig) -> None:
    with pytest.raises(SourceInvalid, match="no column id for the key; it has ID"):
        await read(rig, "SELECT 'a' AS id", "id")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 AS id; DELETE FROM victims",
        "DELETE FROM victims",
        "INSERT INTO victims VALUES (9)",
        "SELECT 1 AS id) AS r; DELETE FROM victims; SELECT (1",
        "SELECT 1 AS id) AS r, (SELECT 2",
        "SELECT 1 AS id ->> DELETE FROM victims",
        "CREATE TABLE more AS SELECT 1 AS id",
        "DROP TABLE victims",
        "CALL wipe()",
        "TRUNCATE victims",
        "EXECUTE IMMEDIATE 'DELETE FROM victims'",
        "SELECT SYSTEM$ABORT_SESSION(1) AS id",
        "ALTER SESSION SET QUERY_TAG = 'x'",
        "USE ROLE ACCOUNTADMIN",
        "SELECT ? AS id",
        "-- nothing",
        "",
    ],
)
async def test_query_that_does_more_than_read_changes_nothing(rig: SnowflakeRig, query: str) -> None:
    run(rig.account, "CREATE OR REPLACE TABLE victims (id INT)", "INSERT INTO victims VALUES (1)")

    with pytest.raises(SourceInvalid) as refused:
        await read(rig, query, "id")

    assert refused.value.code == "SOURCE_QUERY"
    assert rows(await read(rig, "SELECT * FROM victims", "ID")) == [(1,)]


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("DELETE FROM victims", "one SELECT that only reads"),
        ("(((", "one SELECT that only reads"),
        ("SELECT 1; SELECT 2", "another statement follows"),
        ("SELECT 1;;", "another statement follows"),
        ("SELECT 1 ->> SELECT * FROM $1", "another statement follows"),
        ("SELECT system$abort_session(1)", r"SYSTEM\$ABORT_SESSION"),
        ("SELECT ?", "write values into it"),
    ],
)
def test_query_that_does_more_than_read_is_not_even_sent(query: str, why: str) -> None:
    with pytest.raises(SourceInvalid, match=why):
        one_select(query)


def test_query_is_sent_without_the_semicolon_at_its_end() -> None:
    assert (
        one_select("SELECT ';' AS a, SYSTEM$TYPEOF(1), x -> x ; -- done")
        == "SELECT ';' AS a, SYSTEM$TYPEOF(1), x -> x "
    )


async def test_columns_are_told_without_running_the_query(rig: SnowflakeRig) -> None:
    async with asyncio.timeout(30):
        columns = await rig.warehouse.columns(rig.endless_query)

    assert [column.name for column in columns] == ["id", "N"]


async def test_tables_of_the_schema_are_read_by_their_names(rig: SnowflakeRig) -> None:
    run(rig.account, "CREATE OR REPLACE TABLE users AS SELECT column1 AS id FROM VALUES (1), (2)")

    assert rows(await read(rig, "SELECT * FROM shop.public.users", "ID")) == [(1,), (2,)]


async def test_value_that_breaks_the_query_is_not_told(rig: SnowflakeRig) -> None:
    query = """SELECT v AS "id", v::INT AS n FROM (SELECT 'private-value' AS v)"""

    with pytest.raises(SourceInvalid, match="value of a row") as refused:
        await read(rig, query, "id")

    assert "private-value" not in told(refused.value)


async def test_query_that_takes_too_long_is_stopped(snowflake: Snowflake) -> None:
    async with SnowflakeWarehouse.open(settings(snowflake, statement_timeout_s=1)) as warehouse:
        rig = SnowflakeRig(warehouse, snowflake)
        with pytest.raises(SourceUnavailable) as stopped:
            await read(rig, rig.endless_query, "id")

    assert stopped.value.code == "SOURCE_TIMEOUT"
    await eventually(snowflake.statements_running, 0)


async def test_columns_that_changed_since_they_were_looked_at_stop_the_read(rig: SnowflakeRig) -> None:
    run(rig.account, "CREATE OR REPLACE TABLE changing (id INT, name VARCHAR)")
    await rig.warehouse.columns("SELECT * FROM changing")
    run(rig.account, "CREATE OR REPLACE TABLE changing (id INT, name INT)")

    with pytest.raises(SourceInvalid) as refused:
        await read(rig, "SELECT * FROM changing", "ID")

    assert refused.value.code == "SCHEMA_CHANGED"


@pytest.mark.parametrize("way_in", ["private_key", "token", "password"])
async def test_any_way_in_works_and_a_wrong_one_does_not(snowflake: Snowflake, way_in: str) -> None:
    wrong = {"private_key": other_key(), "token": "c4nary-token", "password": "c4nary-password"}[way_in]

    await use(settings(snowflake, **{way_in: getattr(snowflake, way_in)}))
    with pytest.raises(CredentialsRefused) as refused:
        await use(settings(snowflake, **{way_in: wrong}))

    assert wrong not in told(refused.value)


async def test_key_under_a_passphrase_works(snowflake: Snowflake) -> None:
    key = load_pem_private_key(snowflake.private_key.encode(), None)
    sealed = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"open sesame"))

    await use(settings(snowflake, private_key=sealed.decode(), private_key_passphrase="open sesame"))


async def test_account_that_is_not_there_is_said_to_be_so(snowflake: Snowflake) -> None:
    with pytest.raises(SourceInvalid, match="check `account`"):
        await use(settings(snowflake, account="acme-other"))


async def test_role_that_may_change_the_account_is_refused(snowflake: Snowflake) -> None:
    with pytest.raises(SourceInvalid, match="ACCOUNTADMIN"):
        await use(settings(snowflake, role="ACCOUNTADMIN"))

    await use(settings(snowflake, role="ACCOUNTADMIN", allow_admin_role=True))


async def test_user_without_a_warehouse_is_told_what_to_do(snowflake: Snowflake) -> None:
    with pytest.raises(SourceInvalid, match="name one in `warehouse`"):
        await use(settings(snowflake, warehouse=None))


async def test_nothing_of_a_statement_or_a_secret_is_logged(
    snowflake: Snowflake, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    async with SnowflakeWarehouse.open(settings(snowflake)) as warehouse:
        await read(SnowflakeRig(warehouse, snowflake), """SELECT 'c4nary-row' AS "id" """, "id")

    assert [record for record in caplog.records if record.name.startswith("snowflake")] == []


async def test_threads_end_with_the_warehouse(snowflake: Snowflake) -> None:
    async def threads() -> int:
        return sum(thread.name.startswith("snowflake") for thread in threading.enumerate())

    await use(settings(snowflake))

    await eventually(threads, 0)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"token": None}, "give one of private_key, token and password"),
        ({"private_key": "x", "token": "y"}, "give one of private_key, token and password"),
        ({"private_key": "c4nary"}, "no PEM text of a key"),
        ({"private_key_passphrase": "c4nary", "password": "x"}, "is for a private_key"),
        ({"account": "acme.snowflakecomputing.com"}, "account is the part before"),
        ({"account": "https://acme"}, "account"),
        ({"account": "evil.example/acme"}, "account"),
        ({"account": "127.0.0.1:80#"}, "account"),
        ({"domain": "example.com"}, "domain"),
        ({"statement_timeout_s": 0}, "statement_timeout_s"),
    ],
)
def test_settings_that_cannot_work_say_why(options: dict[str, object], what: str) -> None:
    known = Snowflake(0, "acme-main", "ADA", other_key(), "t", "p")

    with pytest.raises(Invalid, match=what) as refused:
        settings(known, **options)

    assert "c4nary" not in told(refused.value)


@pytest.mark.parametrize(
    ("account", "host"),
    [
        ("Acme_Corp-Main", "acme-corp-main.snowflakecomputing.com"),
        ("xy12345.eu-central-1", "xy12345.eu-central-1.snowflakecomputing.com"),
        ("acme-main.privatelink", "acme-main.privatelink.snowflakecomputing.com"),
        ("1", "1.snowflakecomputing.com"),
    ],
)
def test_account_is_sought_under_snowflake_s_own_name_alone(
    monkeypatch: pytest.MonkeyPatch, account: str, host: str
) -> None:
    monkeypatch.delenv(EMULATOR, raising=False)
    chosen = settings(Snowflake(0, account, "ADA", other_key(), "t", "p"))

    place = {name: chosen.connect_options()[name] for name in ("host", "port", "protocol")}

    assert place == {"host": host, "port": 443, "protocol": "https"}


def test_emulator_is_a_port_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EMULATOR, "evil.example:80")

    with pytest.raises(SourceInvalid, match=EMULATOR):
        settings(Snowflake(0, "acme", "ADA", other_key(), "t", "p")).connect_options()


@pytest.mark.parametrize(
    ("number", "state", "kind", "code"),
    [
        (630, "57014", SourceUnavailable, "SOURCE_TIMEOUT"),
        (604, "57014", SourceUnavailable, "SOURCE_TIMEOUT"),
        (8, "0A000", SourceInvalid, "SOURCE_QUERY"),
        (606, "57P03", SourceInvalid, "SOURCE_INVALID"),
        (1003, "42000", SourceInvalid, "SOURCE_QUERY"),
        (2043, "02000", SourceInvalid, "SOURCE_QUERY"),
        (3001, "42501", SourceInvalid, "SOURCE_QUERY"),
        (90105, "22000", SourceInvalid, "SOURCE_QUERY"),
        (100038, "22018", SourceInvalid, "SOURCE_QUERY"),
        (390114, "08001", SourceUnavailable, "SOURCE_UNAVAILABLE"),
        (603, "XX000", SourceUnavailable, "SOURCE_UNAVAILABLE"),
    ],
)
def test_error_of_a_statement_says_whether_to_try_again(
    number: int, state: str, kind: type[TailraceError], code: str
) -> None:
    error = classified(ProgrammingError(msg="words", errno=number, sqlstate=state))

    assert (type(error), error.code) == (kind, code)


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (DatabaseError(msg="x", errno=390422, sqlstate="08001"), CredentialsRefused),
        (DatabaseError(msg="x", errno=394304, sqlstate="08001"), CredentialsRefused),
        (DatabaseError(msg="x", errno=390189, sqlstate="08001"), SourceInvalid),
        (ForbiddenError(msg="x", errno=250001, sqlstate="08001"), SourceInvalid),
        (DatabaseError(msg="x", errno=250001, sqlstate="08001"), SourceUnavailable),
        (ConnectionResetError(), SourceUnavailable),
    ],
)
def test_error_of_signing_in_says_what_to_mend(raised: Exception, kind: type[TailraceError]) -> None:
    with pytest.raises(kind) as told_error, signing_in():
        raise raised

    assert type(told_error.value) is kind


async def use(chosen: SnowflakeSettings) -> None:
    async with SnowflakeWarehouse.open(chosen) as warehouse:
        await warehouse.check()
