"""What vendors' own descriptions of their APIs say that a request has to look like, written down by hand."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import orjson

from tailrace.connector_kit.http import HttpRequest
from tailrace.connector_kit.manifest.model import Manifest
from tailrace.connector_kit.manifest.stage import Stage, staged
from tailrace.core.rows import Operation, Row, RowKey
from tailrace.core.snapshots import hash_row

Json = dict[str, Any]

TEXT: Json = {"type": "string", "minLength": 1}


@dataclass(frozen=True, slots=True)
class Described:
    """A request as the vendor describes it."""

    method: str
    path: str
    body: Json | None


def record(properties: Mapping[str, Json], *required: str, closed: bool = True) -> Json:
    """The schema of an object."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": not closed,
    }


def refuse_what_is_not(described: Described, request: HttpRequest) -> None:
    """Return if the request is as the vendor describes it.

    :raises AssertionError, ValidationError: it is not.
    """
    assert (request.method, urlsplit(request.url).path) == (described.method, described.path)
    if described.body is None:
        assert request.body == b""
    else:
        jsonschema.validate(orjson.loads(request.body), described.body)


async def recorded(manifest: Manifest, operation: Operation, *rows: Json) -> HttpRequest:
    """The request of an operation for rows of the test's own, else for made-up ones."""
    async with staged(manifest, operation) as stage:
        count = len(rows) or min(3, stage.write.max_rows.rows)
        stage.answer(count)
        batch = stage.batch([_row(stage, each) for each in rows] or stage.rows(count))
        await stage.destination.write(stage.plan, batch)
        return stage.vendor.writes[-1]


def _row(stage: Stage, values: Json) -> Row:
    body = orjson.dumps(values)
    return Row(RowKey((str(values[stage.plan.target.key_fields[0]]),)), body, hash_row(body))
