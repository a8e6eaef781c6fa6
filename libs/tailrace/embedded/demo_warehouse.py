"""The warehouse of the demo: a table of customers in a database of its own."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import asyncpg

from tailrace.embedded.demo_customers import Customer

QUERY = "SELECT id, email, full_name, plan, monthly_spend, country FROM customers"

_TABLE = "customers"
_STATEMENT_S = 30.0
_CREATE = """
CREATE TABLE customers (
  id bigint, email text NOT NULL, full_name text, plan text NOT NULL,
  monthly_spend numeric(12, 2) NOT NULL, country text NOT NULL)
"""


@dataclass(frozen=True, slots=True)
class DemoWarehouse:
    """A warehouse by its address."""

    dsn: str

    @classmethod
    async def create(cls, dsn: str) -> "DemoWarehouse":
        """A warehouse in this empty database, with no customers yet."""
        warehouse = cls(dsn)
        connection = await warehouse._connect()
        try:
            await connection.execute(_CREATE)
        finally:
            await connection.close(timeout=_STATEMENT_S)
        return warehouse

    async def fill(self, customers: Sequence[Customer]) -> None:
        """Let the table hold these customers and no others."""
        connection = await self._connect()
        try:
            async with connection.transaction():
                await connection.execute("TRUNCATE customers")
                await connection.copy_records_to_table(_TABLE, records=map(astuple, customers))
        finally:
            await connection.close(timeout=_STATEMENT_S)

    async def _connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(self.dsn, timeout=_STATEMENT_S, command_timeout=_STATEMENT_S)
