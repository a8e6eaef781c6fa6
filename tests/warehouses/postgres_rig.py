"""PostgreSQL for the contract of warehouses."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from urllib.parse import urlsplit

import asyncpg

from tailrace.connector_kit.postgres_settings import PostgresWarehouseSettings
from tailrace.connector_kit.registry import validate_settings
from tailrace.connector_kit.warehouse import Warehouse
from tailrace.core.rows import Column, ColumnKind
from tailrace.testing.warehouse_contract import LockedRig
from tailrace.warehouses.postgres import PostgresWarehouse

SECRET = "s3cr3t-canary-8471"
TYPES = {
    ColumnKind.TEXT: "text",
    ColumnKind.INTEGER: "bigint",
    ColumnKind.FLOAT: "float8",
    ColumnKind.DECIMAL: "numeric",
    ColumnKind.BOOLEAN: "boolean",
    ColumnKind.TIMESTAMP: "timestamptz",
    ColumnKind.JSON: "json",
}


class PostgresWarehouseRig(LockedRig):
    bad_query = "SELECT 1 FROM nonsense"
    endless_query = "SELECT g AS id, pg_sleep(60)::text AS s FROM generate_series(1, 3) g"
    secret = SECRET

    def __init__(self, warehouse: Warehouse, admin: "asyncpg.Connection[asyncpg.Record]", url: str) -> None:
        self.warehouse = warehouse
        self.admin = admin
        self.url = url

    def query(self, columns: Sequence[Column], rows: Sequence[Sequence[str | None]]) -> str:
        names = ", ".join('"' + column.name.replace('"', '""') + '"' for column in columns)
        lines = (", ".join(map(_literal, row, columns)) for row in rows)
        return f"SELECT * FROM (VALUES {', '.join(f'({line})' for line in lines)}) AS v ({names})"

    async def queries_running(self) -> int:
        count = await self.admin.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE state = 'active' AND application_name = 'tailrace' AND datname = current_database()"
        )
        return int(count)

    def unreachable(self) -> AbstractAsyncContextManager[Warehouse]:
        return PostgresWarehouse.open(settings(urlsplit(self.url)._replace(netloc=f"u:{SECRET}@127.0.0.1:1").geturl()))

    def unauthorized(self) -> AbstractAsyncContextManager[Warehouse]:
        parts = urlsplit(self.url)
        place = parts.netloc.rpartition("@")[2]
        return PostgresWarehouse.open(settings(parts._replace(netloc=f"nobody:{SECRET}@{place}").geturl()))


def _literal(value: str | None, column: Column) -> str:
    if value is None:
        return f"NULL::{TYPES[column.kind]}"
    return "'" + value.replace("'", "''") + f"'::{TYPES[column.kind]}"


def settings(url: str, **options: object) -> PostgresWarehouseSettings:
    return validate_settings(
        PostgresWarehouseSettings, {"url": url, "allow_superuser": True, "hashes_rows": True, **options}
    )
