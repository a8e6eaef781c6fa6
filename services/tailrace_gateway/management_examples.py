"""Examples of requests and answers of the management API, by operation."""

from typing import Any

Json = dict[str, Any]

_SYNC = "retl_sync_01j9k6m7n8o9p0q1"
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

_LETTER: Json = {
    "id": "retl_dlq_01j9k8u9v0w1x2y3",
    "sync_id": _SYNC,
    "run_id": _RUN,
    "error_code": "DESTINATION_VALIDATION",
    "message": "INVALID_EMAIL: bad format for field Email",
    "record_keys": {"External_Id__c": "acc_88291"},
    "attempts": 1,
    "first_seen_at": "2025-03-27T12:16:10Z",
    "last_seen_at": "2025-03-27T12:16:10Z",
    "resolved": False,
    "state": "open",
    "resolution": None,
    "resolved_at": None,
    "replay_run_id": None,
    "version": "5f0c9a1be2d34477",
    "duplicate": False,
}
_ROW: Json = {
    "sync_id": _SYNC,
    "sync_mode": "upsert",
    "key": {"account_id": "acc_88291"},
    "state": "outdated",
    "delivered": {
        "version": "a1b2c3d4e5f60718",
        "by_run": None,
        "by_run_at_latest": _RUN,
        "last_known_delivery_at": None,
    },
    "letters": [_LETTER],
    "last_run": {
        "id": _RUN,
        "status": "succeeded",
        "started_at": "2025-03-27T12:15:01Z",
        "finished_at": "2025-03-27T12:18:44Z",
        "passed": True,
    },
    "source": {
        "comparison": "held_back",
        "sends": None,
        "version": "5f0c9a1be2d34477",
        "fields": None,
        "code": None,
        "message": None,
    },
    "notes": [
        "The destination has an earlier version; the newer one was refused, see the open letter.",
        f"The last run, {_RUN}, read the whole query.",
    ],
}

_FIELDS: Json = {"External_Id__c": "acc_88291", "Name": "Acme"}
_PLAN: Json = {
    "sync_version": 1,
    "kind": "incremental",
    "complete": True,
    "stopped_by": None,
    "read": 12840,
    "changes": {"added": 3, "changed": 40, "removed": 2, "unchanged": 12796, "invalid": 1},
    "sends": {"upsert": 43},
    "requests": 1,
    "reasons": {"rejected.NULL_KEY": 1, "skipped.UNCHANGED": 12796},
    "deletes": None,
    "samples": [
        {
            "change": "changed",
            "operation": "upsert",
            "fields": _FIELDS,
            "code": None,
            "message": None,
            "verdict": None,
        }
    ],
}
_TESTED: Json = {
    "key": {"account_id": "acc_88291"},
    "real_write": True,
    "operation": "upsert",
    "verdict": "delivered",
    "code": None,
    "message": None,
    "field": None,
    "fields": _FIELDS,
    "notes": ["This was a real write.", "Runs do not know of it: the next run sends this row again."],
}

_SNAPSHOT: Json = {
    "rows": 12839,
    "delivered": 12795,
    "leaving": 0,
    "size_bytes": 198231,
    "kept_by": None,
    "sync_version": 1,
    "kept": True,
    "imported_at": None,
}


def _rejected() -> Json:
    attributes = {name: value for name, value in _LETTER.items() if name not in {"id", "version", "duplicate"}}
    letter = {"id": _LETTER["id"], "type": "reverse_etl_dlq_entry", "attributes": attributes}
    return {"data": [letter], "meta": {"page": {"limit": 50, "cursor": None}, "rejected": 45}}


def _one(kind: str, item_id: str, attributes: Json) -> Json:
    return {"data": {"id": item_id, "type": kind, "attributes": attributes}}


_WORKSPACE = "ws_01j9k6m7n8o9p0q1r2s3t4u5v6"
_NAMED: Json = {"name": "Marketing", "created_at": "2025-03-27T17:00:00Z", "updated_at": "2025-03-27T17:00:00Z"}
_VERSION = _one(
    "sync_version",
    "2",
    {
        "sync_id": _SYNC,
        "version": 2,
        "current": True,
        "definition": {"object_name": "Account", "sync_mode": "upsert"},
        "created_at": "2025-03-27T17:00:00Z",
    },
)

MANAGEMENT_ASKED: dict[str, Json] = {
    "createWorkspace": {"name": "Marketing"},
    "renameWorkspace": {"name": "Growth"},
    "planRun": {"fullRefresh": False, "maxRows": 100000, "samples": 5},
    "testRow": {"key": "acc_88291", "confirmWrite": True},
}
"""Bodies of requests."""

MANAGEMENT_TOLD: dict[str, Any] = {
    "createWorkspace": _one("workspace", _WORKSPACE, _NAMED | {"token_id": "4tQ9xZ2b", "token": "trc_4tQ9xZ2b_..."}),
    "listWorkspaces": {
        "data": [{"id": _WORKSPACE, "type": "workspace", "attributes": _NAMED}],
        "meta": {"page": {"limit": 50, "cursor": None}},
    },
    "getWorkspace": _one("workspace", _WORKSPACE, _NAMED),
    "renameWorkspace": _one("workspace", _WORKSPACE, _NAMED | {"name": "Growth"}),
    "listSyncVersions": {"data": [_VERSION["data"]], "meta": {"page": {"limit": 50, "cursor": None}}},
    "getSyncVersion": _VERSION,
    "diffSyncVersions": _one(
        "sync_diff",
        "1..2",
        {
            "sync_id": _SYNC,
            "from_version": 1,
            "to_version": 2,
            "differences": [{"pointer": "/object_name", "before": "Lead", "after": "Account"}],
        },
    ),
    "getRunTimeline": _one(
        "run_timeline",
        _RUN,
        {"status": "succeeded", "whole": True, "moments": [_MOMENT, _CLAIMED, _ENDED], "shards": [_SHARD]},
    ),
    "planRun": _one("run_plan", _SYNC, _PLAN),
    "testRow": _one("row_test", _SYNC, _TESTED),
    "findRow": _one("row", "acc_88291", _ROW),
    "listRejectedRows": _rejected(),
    "getSnapshot": _one("snapshot", _SYNC, _SNAPSHOT),
    "followRun": 'id: 1.26.succeeded\nevent: end\ndata: {"id":"retl_run_01j9k7p2q3r4s5t6"}\n\n',
}
"""Answers."""
