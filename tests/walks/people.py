"""A small warehouse of people, and a sync of them that a test spoils and mends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from tests.gateway.caller import Caller, Json
from tests.walks.flights import Warehouse
from tests.walks.rows import Rows, rows_of
from tests.walks.sink import Sink
from tests.walks.syncs import SyncOwner

QUERY = "SELECT id, email FROM people"
PEOPLE = 30

_CREATE = """
CREATE TABLE people AS SELECT n AS id, 'p' || n || '@example.com' AS email FROM generate_series(1, 30) AS n
"""
_HELD = 'SELECT id AS "Id", email AS "Email" FROM people'


@dataclass(frozen=True, slots=True)
class People:
    """A warehouse with people, its address, and where they are to go."""

    caller: Caller
    warehouse: Warehouse
    url: str
    sink: Sink

    @property
    def source(self) -> dict[str, Any]:
        """Settings of the source."""
        return {"url": self.url, "allow_superuser": True}

    @staticmethod
    def mappings(email_column: str = "email") -> list[dict[str, Any]]:
        """The mappings of a sync that works, unless the column of addresses is another."""
        return [
            {"source": "id", "destination": "Id", "key": True},
            {"source": email_column, "destination": "Email"},
        ]

    async def sync(self, *, query: str = QUERY, source: Json = None, destination: Json = None) -> SyncOwner:
        """A sync of the people, of which some part may be wrong."""
        made = self.caller.made
        source_id = await made("/api/sources", _connection("postgres", source or self.source))
        destination_id = await made("/api/destinations", _connection("http", destination or self.sink.settings))
        body = {
            "name": "people",
            "sourceId": source_id,
            "sourceQuery": query,
            "destinationId": destination_id,
            "objectName": "contact",
            "fieldMappings": self.mappings(),
            "syncMode": "upsert",
        }
        return SyncOwner(self.caller, await made("/api/reverse-etl/syncs", body), source_id, destination_id)

    async def mend(self, kind: str, connection_id: str, settings: Json) -> None:
        """Give a source or destination other settings."""
        answered = await self.caller.put(f"/api/{kind}/{connection_id}", {"settings": settings})
        assert answered.status == 200, answered.raw

    async def rows(self) -> Rows:
        """What the destination has to hold."""
        return rows_of(map(dict, await self.warehouse.fetch(_HELD)))


@asynccontextmanager
async def open_people(caller: Caller, url: str, sink: Sink) -> AsyncIterator[People]:
    """A warehouse in that empty database, for as long as the scope lasts."""
    warehouse = await asyncpg.connect(url, timeout=10, command_timeout=30)
    try:
        await warehouse.execute(_CREATE)
        yield People(caller, warehouse, url, sink)
    finally:
        await warehouse.close(timeout=10)


def _connection(connector: str, settings: Json) -> dict[str, Any]:
    return {"name": connector, "connector": connector, "settings": settings}
