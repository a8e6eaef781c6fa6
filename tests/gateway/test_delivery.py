"""How a sync delivers, as callers set it, and a run that waits for its destination, as they see it."""

from typing import Any

import pytest

from tests.gateway.caller import Caller, a_sync
from tests.gateway.conftest import Gateway
from tests.gateway.engine import Engine

SYNCS = "/api/reverse-etl/syncs"
RUN = "/api/reverse-etl/sync/run"
RUNS = "/api/runs"
DEFAULT = {
    "window_rows": None,
    "window_s": 5.0,
    "strict": False,
    "on_ambiguous": "retry",
    "failure_thresholds": {"ratio": 0.5, "minimum": 100, "consecutive": 1000},
    "shards": 8,
}
_PAUSE = """
UPDATE run_shards SET state = 'queued', not_before = clock_timestamp() + interval '1 hour', pause_reason = 'waiting'
"""


async def test_sync_delivers_as_it_says_and_else_by_default(admin: Caller, source_id: str, destination_id: str) -> None:
    never = {"ratio": None, "consecutive": None}
    created = await admin.post(SYNCS, a_sync(destination_id))
    sync_id = created.json["data"]["id"]

    policy = {"strict": True, "onAmbiguous": "dlq", "windowRows": 50, "failureThresholds": never}
    changed = await admin.put(f"{SYNCS}/{sync_id}", {"delivery": policy})
    renamed = await admin.put(f"{SYNCS}/{sync_id}", {"name": "another"})

    expected = DEFAULT | {"strict": True, "on_ambiguous": "dlq", "window_rows": 50}
    assert created.attributes["delivery"] == DEFAULT
    assert changed.attributes["delivery"] == expected | {"failure_thresholds": never | {"minimum": 100}}
    assert (changed.attributes["version"], renamed.attributes["version"]) == (2, 2)
    assert renamed.attributes["delivery"] == changed.attributes["delivery"]


@pytest.mark.parametrize(
    ("policy", "place"),
    [
        ({"windowRows": 0}, "/delivery/windowRows"),
        ({"windowS": 0.1}, "/delivery/windowS"),
        ({"onAmbiguous": "maybe"}, "/delivery/onAmbiguous"),
        ({"failureThresholds": {"ratio": 2}}, "/delivery/failureThresholds/ratio"),
        ({"attempts": 3}, "/delivery/attempts"),
    ],
)
async def test_policy_that_cannot_be_is_refused_with_its_place(
    admin: Caller, source_id: str, destination_id: str, policy: dict[str, Any], place: str
) -> None:
    refused = await admin.post(SYNCS, a_sync(destination_id, delivery=policy))

    assert refused.status == 422
    assert [fault["pointer"] for fault in refused.json["errors"]] == [place]


async def test_run_that_waits_says_until_when_and_for_what(
    gateway: Gateway, admin: Caller, engine: Engine, sync_id: str
) -> None:
    started = await admin.post(RUN, {"syncId": sync_id})
    run_id = started.json["data"]["id"]
    await engine.begin(run_id)
    before = await admin.get(f"{RUNS}/{run_id}")
    await gateway.stores.database.execute(_PAUSE)

    paused = await admin.get(f"{RUNS}/{run_id}")

    assert (before.attributes["paused_until"], before.attributes["pause_reason"]) == (None, None)
    assert (paused.attributes["status"], paused.attributes["pause_reason"]) == ("running", "waiting")
    assert paused.attributes["paused_until"] > before.attributes["started_at"]
