"""What every manifest promises, of those that users describe: the examples of the documentation, and the nine ways."""

import re
from typing import Any

import orjson
import pytest

from tailrace.connector_kit.manifest.model import Manifest
from tailrace.connector_kit.manifest.rehearsal import PROMISES, Promise, rehearse
from tailrace.connector_kit.manifest.stage import staged
from tailrace.connector_kit.registry import validate_settings
from tailrace.core.clock import SystemClock
from tailrace.destinations.webhook import WebhookSettings, described
from tests.architecture.source import ROOT

ALL = {"kind": "all_or_nothing"}
WAYS: dict[str, dict[str, Any]] = {
    "aligned": {"kind": "aligned", "results": "items", "status": "ok"},
    "indexed": {"kind": "indexed", "errors": "errors", "index": "at"},
    "traced": {"kind": "traced", "trace": "trace", "result_trace": "trace"},
    "keyed": {"kind": "keyed", "lists": [{"at": "bad", "code": "BAD", "message": "no"}]},
    "field_indexes": {"kind": "field_indexes", "at": ["bad"]},
    "all_or_nothing": ALL,
    "counted": {"kind": "counted", "failed_count": "failed"},
    "job": {"kind": "job", "id": "id", "get": "/jobs/{id}", "state": "state", "done": ["done"], "read": ALL},
}
"""Of the nine, those that speak of several rows."""


def of(given: dict[str, Any]) -> Manifest:
    return described(validate_settings(WebhookSettings, given), SystemClock())


def in_this_way(way: dict[str, Any]) -> Manifest:
    row = {"id": "$key", "trace": "$trace", "*": "$others"}
    reads = [{"status": [400], "then": "read"}] if way["kind"] == "field_indexes" else []
    asks = {"path": "/{object}", "rows_at": "rows", "row": row, "attribution": way, "rules": reads}
    return of({"base_url": "https://api.example.com", "operations": {"upsert": asks, "update": asks}})


def examples() -> dict[str, Manifest]:
    """The settings in the documentation that are whole."""
    text = (ROOT / "deploy/docs/webhooks.md").read_text()
    found = [orjson.loads(block) for block in re.findall(r"```json\n(.+?)```", text, re.DOTALL)]
    return {f"example {at}": of(given) for at, given in enumerate(found) if "operations" in given}


DESCRIBED = examples() | {name: in_this_way(way) for name, way in WAYS.items()}


@pytest.mark.parametrize("name", DESCRIBED)
@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
async def test_promise_holds_of_what_a_user_describes(promise: Promise, name: str) -> None:
    assert await rehearse(DESCRIBED[name], promise) == []


@pytest.mark.parametrize("name", WAYS)
async def test_recorded_request_has_what_the_settings_say(name: str) -> None:
    async with staged(DESCRIBED[name], next(iter(DESCRIBED[name].operations))) as stage:
        stage.answer(2)

        await stage.send(2)

    [request] = stage.vendor.writes
    rows = orjson.loads(request.body)["rows"]
    assert request.method == "POST"
    assert [(row["id"], row["trace"].rpartition("-")[2]) for row in rows] == [("key-0", "0"), ("key-1", "1")]
