"""A Snowflake account of the emulator, and ways to write queries for it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache

import pytest
from snowflake import connector

from tailrace.connector_kit.registry import validate_settings
from tailrace.connector_kit.snowflake_settings import EMULATOR, SnowflakeSettings
from tailrace.connector_kit.warehouse import Warehouse
from tailrace.core.rows import Column, ColumnKind
from tailrace.testing.snowflake_server import Snowflake, new_key
from tailrace.testing.warehouse_contract import LockedRig
from tailrace.warehouses.snowflake import SnowflakeWarehouse

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

    def __init__(self, warehouse: SnowflakeWarehouse, account: Snowflake) -> None:
        self.warehouse: SnowflakeWarehouse = warehouse
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

    @asynccontextmanager
    async def unreachable(self) -> AsyncIterator[Warehouse]:
        """The same account where nobody answers."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(EMULATOR, "1")
            async with SnowflakeWarehouse.open(settings(self.account, connect_timeout_s=1)) as warehouse:
                yield warehouse

    def unauthorized(self) -> AbstractAsyncContextManager[Warehouse]:
        return SnowflakeWarehouse.open(settings(self.account, token=f"{self.account.token}-canary"))


def settings(account: Snowflake, /, **options: object) -> SnowflakeSettings:
    raw = {"account": account.account, "user": account.user, "warehouse": "W", "role": "READER", "database": "SHOP"}
    way_in = {} if {"private_key", "password"} & options.keys() else {"token": account.token}
    return validate_settings(SnowflakeSettings, raw | way_in | {"schema_name": "PUBLIC"} | options)


def _literal(value: str | None, column: Column, name: str) -> str:
    written = "NULL" if value is None else "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
    is_typed = value is not None and column.kind is ColumnKind.TEXT
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


async def use(chosen: SnowflakeSettings) -> None:
    async with SnowflakeWarehouse.open(chosen) as warehouse:
        await warehouse.check()
