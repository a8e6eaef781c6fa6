"""A destination by a manifest, with answers that are made up."""

from datetime import UTC, datetime

import orjson

from tailrace.connector_kit.destination import Target
from tailrace.connector_kit.manifest.engine import ManifestDestination, destination_of
from tailrace.connector_kit.manifest.model import Manifest
from tailrace.core.batches import Batch, BatchResult
from tailrace.core.clock import SystemClock
from tailrace.core.rows import Operation, Row, RowKey
from tailrace.core.snapshots import hash_row
from tailrace.testing.fake_http import FakeHttp

SECRET = "canary-token-77"


class Clock(SystemClock):
    at_s = 0.0

    def now(self) -> datetime:
        return datetime(2026, 11, 22, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.at_s


def opened(manifest: Manifest, http: FakeHttp, clock: Clock | None = None, **settings: object) -> ManifestDestination:
    connector = destination_of(manifest)
    return connector(connector.settings_type.model_validate({"token": SECRET} | settings), http, clock or Clock())


async def put(destination: ManifestDestination, operation: Operation, *bodies: bytes) -> BatchResult:
    target = Target("people", operation, ("id",), ("id", "name"))
    keys = [RowKey((str(orjson.loads(body).get("id")),)) for body in bodies]
    rows = [Row(key, body, hash_row(body)) for key, body in zip(keys, bodies, strict=True)]
    return await destination.write(await destination.plan(target), Batch(operation, rows, "0123456789"))
