"""Examples of requests and answers of the management API, by operation."""

from typing import Any

Json = dict[str, Any]

_RUN = "retl_run_01j9k7p2q3r4s5t6"
_MOMENT: Json = {
    "at": "2025-03-27T12:15:00.512Z",
    "what": "queued",
    "by": "schedule",
    "shard": None,
    "checkpoint": None,
    "not_before": None,
    "code": None,
    "message": None,
}
_AT_START: Json = {"by": "executor-0", "shard": 0, "checkpoint": 0}
_CLAIMED = _MOMENT | {"at": "2025-03-27T12:15:01.104Z", "what": "claimed"} | _AT_START
_ENDED = _MOMENT | {"at": "2025-03-27T12:18:44.301Z", "what": "succeeded", "by": None}
_SHARD: Json = {
    "shard": 0,
    "state": "done",
    "owner": "executor-0",
    "lease_expires_at": None,
    "not_before": None,
    "checkpoint": 26,
    "claims_without_progress": 0,
}


def _one(kind: str, item_id: str, attributes: Json) -> Json:
    return {"data": {"id": item_id, "type": kind, "attributes": attributes}}


MANAGEMENT_ASKED: dict[str, Json] = {}
"""Bodies of requests."""

MANAGEMENT_TOLD: dict[str, Any] = {
    "getRunTimeline": _one(
        "run_timeline",
        _RUN,
        {"status": "succeeded", "whole": True, "moments": [_MOMENT, _CLAIMED, _ENDED], "shards": [_SHARD]},
    ),
    "followRun": 'id: 1.26.succeeded\nevent: end\ndata: {"id":"retl_run_01j9k7p2q3r4s5t6"}\n\n',
}
"""Answers."""
