"""A project of the stand-in, and ways to write queries for it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import cache

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tailrace.connector_kit.bigquery_settings import BigQuerySettings
from tailrace.connector_kit.http import HttpClient
from tailrace.connector_kit.registry import validate_settings
from tailrace.connector_kit.warehouse import Warehouse
from tailrace.connector_kit.way_out import going_out_by
from tailrace.core.rows import Column, ColumnKind
from tailrace.runtime.http import AiohttpClient, HttpLimits
from tailrace.testing.bigquery_stand_in import BigQueryStandIn
from tailrace.testing.warehouse_contract import LockedRig
from tailrace.warehouses.bigquery import BigQueryWarehouse

_TYPES = {
    ColumnKind.TEXT: "STRING",
    ColumnKind.INTEGER: "INT64",
    ColumnKind.FLOAT: "FLOAT64",
    ColumnKind.DECIMAL: "BIGNUMERIC",
    ColumnKind.BOOLEAN: "BOOL",
    ColumnKind.TIMESTAMP: "TIMESTAMP",
}


class BigQueryRig(LockedRig):
    bad_query = "SELECT 1 AS one FROM `nonsense`"
    endless_query = """
        SELECT 'a' AS id, COUNT(*) AS n
        FROM UNNEST(GENERATE_ARRAY(1, 100000)) AS a, UNNEST(GENERATE_ARRAY(1, 100000)) AS b,
             UNNEST(GENERATE_ARRAY(1, 100000)) AS c
        WHERE RAND() = RAND()
    """

    def __init__(self, warehouse: BigQueryWarehouse, project: BigQueryStandIn) -> None:
        self.warehouse: BigQueryWarehouse = warehouse
        self.project = project
        self.secret = project.private_key.splitlines()[1]

    def query(self, columns: Sequence[Column], rows: Sequence[Sequence[str | None]]) -> str:
        inner = [f"c{n}" for n in range(len(columns))]
        names = ", ".join(f"{c} AS `{column.name}`" for c, column in zip(inner, columns, strict=True))
        lines = (", ".join(map(_literal, row, columns, inner)) for row in rows)
        return f"SELECT {names} FROM ({' UNION ALL '.join(f'SELECT {line}' for line in lines)}) AS v"

    async def queries_running(self) -> int:
        return await self.project.jobs_running()

    def unreachable(self) -> AbstractAsyncContextManager[Warehouse]:
        """The same project where nobody answers."""
        return opened(settings(self.project, api_url="http://127.0.0.1:1", token_url="http://127.0.0.1:1/token"))

    def unauthorized(self) -> AbstractAsyncContextManager[Warehouse]:
        return opened(settings(self.project, service_account=self.project.account(other_key())))


@asynccontextmanager
async def opened(chosen: BigQuerySettings, http: HttpClient | None = None) -> AsyncIterator[BigQueryWarehouse]:
    """A warehouse, by a client that may reach this machine unless another is given."""
    async with AsyncExitStack() as stack:
        if http is None:
            limits = HttpLimits(connect_s=2.0, total_s=20.0)
            http = await stack.enter_async_context(AiohttpClient.open(allow_private=True, limits=limits))
        with going_out_by(http):
            warehouse = await stack.enter_async_context(BigQueryWarehouse.open(chosen))
        yield warehouse


def settings(project: BigQueryStandIn, /, **options: object) -> BigQuerySettings:
    place = {"project": project.project, "api_url": project.url, "token_url": f"{project.url}/token"}
    return validate_settings(BigQuerySettings, place | {"service_account": project.account()} | options)


def _literal(value: str | None, column: Column, name: str) -> str:
    if value is None:
        return f"CAST(NULL AS {_TYPES[column.kind]}) AS {name}"
    written = "'" + value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"
    return f"CAST({written} AS {_TYPES[column.kind]}) AS {name}"


@cache
def other_key() -> str:
    """A key that nobody knows."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
