"""A workspace of the stand-in of Databricks, and ways to write queries for it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tailrace.connector_kit.databricks_settings import DatabricksSettings
from tailrace.connector_kit.registry import validate_settings
from tailrace.connector_kit.way_out import going_out_by
from tailrace.core.rows import Column, ColumnKind
from tailrace.runtime.http import AiohttpClient
from tailrace.testing.databricks_server import Databricks
from tailrace.testing.warehouse_contract import LockedRig
from tailrace.warehouses.databricks import DatabricksWarehouse

_TYPES = {
    ColumnKind.TEXT: "STRING",
    ColumnKind.INTEGER: "BIGINT",
    ColumnKind.FLOAT: "DOUBLE",
    ColumnKind.DECIMAL: "DECIMAL(38, 10)",
    ColumnKind.BOOLEAN: "BOOLEAN",
    ColumnKind.TIMESTAMP: "TIMESTAMP",
}


class DatabricksRig(LockedRig):
    bad_query = "SELECT 1 FROM `nonsense`"
    endless_query = (
        "SELECT 'a' AS id, COUNT(*) AS n FROM range(10000000) AS a, range(1000000) AS b WHERE rand() = rand()"
    )

    def __init__(self, warehouse: DatabricksWarehouse, workspace: Databricks) -> None:
        self.warehouse: DatabricksWarehouse = warehouse
        self.workspace = workspace
        self.secret = workspace.access_token

    def query(self, columns: Sequence[Column], rows: Sequence[Sequence[str | None]]) -> str:
        inner = [f"c{n}" for n in range(len(columns))]
        names = ", ".join(
            f"CAST({c} AS {_TYPES[column.kind]}) AS `{column.name.replace('`', '``')}`"
            for c, column in zip(inner, columns, strict=True)
        )
        lines = (f"({', '.join(map(_literal, row))})" for row in rows)
        return f"SELECT {names} FROM VALUES {', '.join(lines)} AS v({', '.join(inner)})"

    async def queries_running(self) -> int:
        return self.workspace.statements_running

    @asynccontextmanager
    async def unreachable(self) -> AsyncIterator[DatabricksWarehouse]:
        """The same workspace where nobody answers."""
        async with opened(self.workspace, host="http://127.0.0.1:1", statement_timeout_s=1) as warehouse:
            yield warehouse

    @asynccontextmanager
    async def unauthorized(self) -> AsyncIterator[DatabricksWarehouse]:
        async with opened(self.workspace, access_token=f"{self.secret}-canary") as warehouse:
            yield warehouse


@asynccontextmanager
async def opened(workspace: Databricks, **options: object) -> AsyncIterator[DatabricksWarehouse]:
    settings = validate_settings(DatabricksSettings, workspace.settings | options)
    async with AiohttpClient.open(allow_private=True) as http:
        with going_out_by(http):
            opening = DatabricksWarehouse.open(settings)
            async with opening as warehouse:
                yield warehouse


def by_secret(workspace: Databricks) -> dict[str, object]:
    """Options of a service principal."""
    return {"access_token": None, "client_id": workspace.client_id, "client_secret": workspace.client_secret}


def _literal(value: str | None) -> str:
    return "NULL" if value is None else "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
