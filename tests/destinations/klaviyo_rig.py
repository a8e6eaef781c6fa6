"""A connection to an account of Klaviyo in memory, and rows for it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import orjson

from tailrace.connector_kit.destination import Target
from tailrace.connector_kit.registry import validate_settings
from tailrace.core.batches import Batch, BatchResult
from tailrace.core.rows import Operation, Row, RowKey, RowOutcome, Verdict
from tailrace.core.snapshots import hash_row
from tailrace.destinations.klaviyo import KlaviyoDestination, KlaviyoSettings
from tests.destinations.clocks import Clock
from tests.destinations.described import Json
from tests.destinations.klaviyo_account import API_KEY, Account

ROW_BY_ROW = "/api/profile-import"
TARGET = Target("profiles", Operation.UPSERT, ("external_id",), ("external_id", "first_name", "plan"))


@asynccontextmanager
async def opened(
    account: Account, clock: Clock | None = None, /, **settings: object
) -> AsyncIterator[KlaviyoDestination]:
    given = validate_settings(KlaviyoSettings, {"api_key": API_KEY, "bulk_from_rows": 3} | settings)
    yield KlaviyoDestination(given, account, clock or Clock())


async def put(account: Account, batch: Batch, **settings: object) -> BatchResult:
    async with opened(account, **settings) as destination:
        return await destination.write(await destination.plan(TARGET), batch)


def people(*names: str | None) -> Batch:
    return profiles(*({"external_id": f"e{at}", "first_name": name, "plan": "pro"} for at, name in enumerate(names)))


def profiles(*rows: Json) -> Batch:
    bodies = [orjson.dumps(row) for row in rows]
    keys = [RowKey((str(row["external_id"]),)) for row in rows]
    made = [Row(key, body, hash_row(body)) for key, body in zip(keys, bodies, strict=True)]
    return Batch(Operation.UPSERT, made, "batch-1")


def rejections(outcomes: Sequence[RowOutcome]) -> dict[int, str]:
    return {at: each.code for at, each in enumerate(outcomes) if each.verdict is not Verdict.DELIVERED}
