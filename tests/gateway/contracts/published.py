"""The examples of the two published contracts, as far as they tell things apart."""

import re
from itertools import chain, repeat
from typing import Any

Json = Any

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_ID = re.compile(r"retl_(sync|run|dlq)_|conn_")

SYNC: Json = {
    "id": "retl_sync_01j9k6m7n8o9p0q1",
    "type": "reverse_etl_sync",
    "attributes": {
        "name": "crm_accounts_warehouse_to_salesforce",
        "source_query": "SELECT account_id, name FROM analytics.dim_crm_account WHERE is_active = true",
        "destination_id": "conn_sf_prod",
        "object_name": "Account",
        "field_mappings": [
            {"source": "account_id", "destination": "External_Id__c", "key": True},
            {"source": "name", "destination": "Name"},
        ],
        "sync_mode": "upsert",
        "enabled": True,
        "schedule": {"type": "cron", "expression": "15 */4 * * *", "timezone": "UTC"},
        "created_at": "2025-03-27T17:00:00Z",
        "updated_at": "2025-03-27T17:00:00Z",
    },
}
_LISTED = {"name", "destination_id", "object_name", "sync_mode", "enabled", "schedule", "updated_at"}
_PAGE: Json = {"page": {"limit": 50, "cursor": None}}
_RUN: Json = {
    "id": "retl_run_01j9k7p2q3r4s5t6",
    "type": "reverse_etl_run",
    "attributes": {
        "sync_id": "retl_sync_01j9k6m7n8o9p0q1",
        "status": "succeeded",
        "rows_read": 12840,
        "rows_written": 12795,
        "rows_failed": 45,
        "started_at": "2025-03-27T12:15:01Z",
        "finished_at": "2025-03-27T12:18:44Z",
    },
}

LIST_SYNCS: Json = {
    "data": [SYNC | {"attributes": {name: SYNC["attributes"][name] for name in _LISTED}}],
    "meta": _PAGE,
}
ONE_SYNC: Json = {"data": SYNC}
UPDATED_SYNC: Json = {
    "data": SYNC
    | {
        "attributes": {
            "name": "crm_accounts_warehouse_to_salesforce",
            "sync_mode": "upsert",
            "enabled": True,
            "schedule": {"type": "cron", "expression": "0 */2 * * *", "timezone": "UTC"},
            "updated_at": "2025-03-27T17:15:00Z",
        }
    }
}
DELETED_SYNC: Json = {"data": SYNC | {"attributes": {"deleted": True, "deleted_at": "2025-03-27T17:20:00Z"}}}
QUEUED_RUN: Json = {
    "data": {
        "id": "retl_run_01j9k7p2q3r4s5t6",
        "type": "reverse_etl_run",
        "attributes": {
            "sync_id": "retl_sync_01j9k6m7n8o9p0q1",
            "status": "queued",
            "full_refresh": False,
            "created_at": "2025-03-27T17:22:00Z",
        },
    }
}
TOGGLED_SYNC: Json = {"data": SYNC | {"attributes": {"enabled": False, "updated_at": "2025-03-27T17:23:30Z"}}}
DESTINATIONS: Json = {
    "data": [
        {
            "id": "conn_sf_prod",
            "type": "reverse_etl_destination",
            "attributes": {
                "name": "Salesforce Production",
                "connector": "salesforce",
                "status": "connected",
                "objects_discoverable": True,
            },
        }
    ]
}
OBJECTS: Json = {
    "data": [
        {
            "id": "Account",
            "type": "destination_object",
            "attributes": {"label": "Account", "api_name": "Account", "supports_upsert": True, "writable": True},
        }
    ]
}
FIELDS: Json = {
    "data": [
        {
            "id": "Name",
            "type": "destination_field",
            "attributes": {
                "label": "Account Name",
                "data_type": "string",
                "required": True,
                "updateable": True,
                "external_id": False,
            },
        }
    ]
}
RUNS: Json = {"data": [_RUN], "meta": _PAGE}
LETTERS: Json = {
    "data": [
        {
            "id": "retl_dlq_01j9k8u9v0w1x2y3",
            "type": "reverse_etl_dlq_entry",
            "attributes": {
                "sync_id": "retl_sync_01j9k6m7n8o9p0q1",
                "run_id": "retl_run_01j9k7p2q3r4s5t6",
                "error_code": "DESTINATION_VALIDATION",
                "message": "INVALID_EMAIL: bad format for field Email",
                "record_keys": {"External_Id__c": "acc_88291"},
                "attempts": 5,
                "first_seen_at": "2025-03-27T12:16:10Z",
                "resolved": False,
            },
        }
    ],
    "meta": _PAGE,
}
STATS: Json = {
    "data": {
        "type": "reverse_etl_dlq_stats",
        "attributes": {
            "open_count": 12,
            "resolved_count": 340,
            "by_error_code": {"DESTINATION_VALIDATION": 7},
            "computed_at": "2025-03-27T17:30:00Z",
        },
    }
}
RESOLVED: Json = {
    "data": {
        "type": "reverse_etl_dlq_resolve",
        "attributes": {
            "resolved_ids": ["retl_dlq_01j9k8u9v0w1x2y3"],
            "replay_run_id": None,
            "resolved_at": "2025-03-27T17:35:00Z",
        },
    }
}

CONNECTION_SYNC: Json = {
    "id": "retl_run_",
    "status": "running",
    "startedAt": "2024-04-20T05:41:18.871Z",
    "finishedAt": "2024-04-20T05:41:18.871Z",
    "error": "<string>",
    "metrics": {"succeeded": {"total": 0}, "failed": {"total": 0}, "changed": {"total": 0}, "total": 0},
}
CONNECTION_SYNCS: Json = {
    "syncs": [CONNECTION_SYNC],
    "paging": {"total": 200, "next": "/<collection path>?page=2"},
}
STARTED: Json = {"syncId": "retl_run_"}


def lacks(published: Json, told: Json, at: str = "") -> list[str]:
    """The places where an answer lacks what the example has, or has another type or form of value there."""
    match published:
        case dict():
            if not isinstance(told, dict):
                return [at]
            return [
                place
                for name, part in published.items()
                for place in (lacks(part, told[name], f"{at}/{name}") if name in told else [f"{at}/{name}"])
            ]
        case list():
            if not isinstance(told, list) or not told:
                return [at]
            examples = chain(published, repeat(published[-1]))
            return [
                place
                for number, (example, part) in enumerate(zip(examples, told, strict=False))
                for place in lacks(example, part, f"{at}/{number}")
            ]
        case _:
            return [] if _form(published) == _form(told) else [at]


def _form(value: Json) -> str:
    """The type of a value; of text whether it is a time and how precise, or an id and of what."""
    if not isinstance(value, str):
        return type(value).__name__
    if _TIME.fullmatch(value):
        return f"time of {len(value)}"
    named = _ID.match(value)
    return named[0] if named else "text"
