"""A workspace with many syncs that are alike, made without the API; and what durations come to."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tailrace.store.connections import ConnectionDraft
from tailrace.store.tokens import NewToken, Role, Tokens
from tests.bench.ground import connected
from tests.executor.yard import definition_of, make_sync, open_chassis

_COPY = """
WITH made AS (
  INSERT INTO syncs (id, workspace_id, name, destination_id, definition, schedule)
  SELECT 'bench_' || n, workspace_id, name, destination_id, definition, schedule
  FROM syncs, generate_series(1, $1::int) AS n WHERE syncs.id = $2 RETURNING id, definition
)
INSERT INTO sync_versions (sync_id, version, definition) SELECT id, 1, definition FROM made
"""


@dataclass(frozen=True, slots=True)
class Stock:
    """The syncs `bench_1` to `bench_<count>`, the token of an editor, and what a service needs to know."""

    database_url: str
    token: str
    secret_key: str

    @property
    def environment(self) -> Mapping[str, str]:
        """Settings of every service."""
        return {
            "TAILRACE_DATABASE_URL": self.database_url,
            "TAILRACE_SECRET_KEY": self.secret_key,
            "TAILRACE_OPS_PORT": "0",
            "TAILRACE_CALLS_PER_S": "100000",
            "TAILRACE_CALLS_BURST": "100000",
            "TAILRACE_ALLOW_PRIVATE_DESTINATIONS": "true",
        }


@dataclass(frozen=True, slots=True)
class Work:
    """What each of the syncs does: rows of an id and nothing else, from a query to a sink."""

    query: str
    warehouse_url: str
    sink_url: str = "http://127.0.0.1:9/rows"


async def stocked(database_url: str, count: int, work: Work) -> Stock:
    """Make them."""
    async with open_chassis(database_url) as chassis:
        source = ConnectionDraft("warehouse", {"url": "***"}, {"/url": work.warehouse_url})
        sink = ConnectionDraft("sink", {"url": work.sink_url}, {})
        sync = await make_sync(chassis, source, sink, definition_of(work.query, ("id",)))
        _, token = await Tokens(chassis.database, chassis.box).create(NewToken(sync.workspace_id, "bench", Role.EDITOR))
        async with connected(database_url) as connection:
            await connection.execute(_COPY, count, sync.id)
            await connection.execute("VACUUM ANALYZE")
        return Stock(database_url, token, chassis.settings.secret_key.get_secret_value())


def percentiles_ms(durations_s: Sequence[float], *shares: int) -> dict[str, float]:
    """For each share of a hundred the least duration that so many do not exceed, in milliseconds; and the longest."""
    ordered = sorted(durations_s)
    figures = {f"p{share}_ms": ordered[max(0, math.ceil(share / 100 * len(ordered)) - 1)] for share in shares}
    return {name: round(value * 1000, 1) for name, value in (figures | {"max_ms": ordered[-1]}).items()}
