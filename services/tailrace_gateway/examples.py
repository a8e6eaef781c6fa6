"""Examples of requests and answers, by operation: those that the contracts publish, with the members that we add."""

from typing import Any

from tailrace.core.policies import DeliveryPolicy
from tailrace_gateway.absent_products import ABSENT_EXAMPLES
from tailrace_gateway.job_examples import JOBS_ASKED, JOBS_TOLD
from tailrace_gateway.management_examples import MANAGEMENT_ASKED, MANAGEMENT_TOLD
from tailrace_gateway.retl_examples import RETL_ASKED, RETL_TOLD

Json = dict[str, Any]

_SYNC = "retl_sync_01j9k6m7n8o9p0q1"
_RUN = "retl_run_01j9k7p2q3r4s5t6"
_LETTER = "retl_dlq_01j9k8u9v0w1x2y3"
_SOURCE = "conn_warehouse"
_DESTINATION = "conn_sf_prod"
_CREATED = "2025-03-27T17:00:00Z"
_NAME = "crm_accounts_warehouse_to_salesforce"
_QUERY = (
    "SELECT account_id, name, annual_revenue, last_activity_at FROM analytics.dim_crm_account WHERE is_active = true"
)
_MAPPINGS = [
    {"source": "account_id", "destination": "External_Id__c", "key": True},
    {"source": "name", "destination": "Name"},
    {"source": "annual_revenue", "destination": "AnnualRevenue", "cast": "number"},
    {"template": "{{ last_activity_at | date: '%F' }}", "destination": "Last_Activity__c"},
]
_SUGGESTION = {"source": "name", "destination": "Name", "score": 1.0, "converted": False}
_CRON = {"type": "cron", "expression": "15 */4 * * *", "timezone": "UTC"}
_HOURLY = {"type": "cron", "expression": "0 */2 * * *", "timezone": "UTC"}
_LAST_PAGE = {"page": {"limit": 50, "cursor": None}}


def _item(kind: str, item_id: str, attributes: Json) -> Json:
    return {"id": item_id, "type": kind, "attributes": attributes}


def _one(thing: Json) -> Json:
    return {"data": thing}


def _page(thing: Json) -> Json:
    return {"data": [thing], "meta": _LAST_PAGE}


def _sync(**changes: object) -> Json:
    return _item("reverse_etl_sync", _SYNC, {**_BRIEF_SYNC, **_MORE_OF_SYNC, **changes})


def _connection(kind: str, item_id: str, **attributes: object) -> Json:
    common = {"status": "connected", "checked_at": _CREATED, "check_code": None}
    return _item(kind, item_id, {**attributes, **common, "created_at": _CREATED, "updated_at": _CREATED})


_BRIEF_SYNC: Json = {
    "name": _NAME,
    "source_id": _SOURCE,
    "destination_id": _DESTINATION,
    "object_name": "Account",
    "sync_mode": "upsert",
    "enabled": True,
    "schedule": _CRON,
    "next_run_at": "2025-03-27T20:15:00Z",
    "created_at": _CREATED,
    "updated_at": _CREATED,
}
_MORE_OF_SYNC: Json = {
    "version": 1,
    "source_query": _QUERY,
    "field_mappings": _MAPPINGS,
    "reading": {"type": "snapshot"},
    "max_delete_ratio": 0.1,
    "delivery": DeliveryPolicy().model_dump(mode="json"),
    "on_type_mismatch": "reject_row",
    "last_run": None,
    "open_dead_letters": 0,
}
_BRIEF_RUN: Json = {
    "sync_id": _SYNC,
    "status": "succeeded",
    "full_refresh": False,
    "rows_read": 12840,
    "rows_written": 12795,
    "rows_failed": 45,
    "rows_still_failing": 0,
    "created_at": "2025-03-27T12:15:00Z",
    "started_at": "2025-03-27T12:15:01Z",
    "finished_at": "2025-03-27T12:18:44Z",
    "error": None,
}
_MORE_OF_RUN: Json = {
    "kind": "incremental",
    "trigger": "schedule",
    "requested_by": "schedule",
    "sync_version": 1,
    "cancel_requested_by": None,
    "error_code": None,
    "paused_until": None,
    "pause_reason": None,
    "books": {
        "read": 12840,
        "delivered": 12795,
        "skipped": 0,
        "rejected": 45,
        "removed": 0,
        "deleted": 0,
        "kept": 0,
        "undeleted": 0,
        "balanced": True,
        "reasons": {"change.added": 12840, "rejected.DESTINATION_VALIDATION": 45},
    },
}
_WHOLE_RUN = _item("reverse_etl_run", _RUN, _BRIEF_RUN | _MORE_OF_RUN)
_QUEUED_RUN = _item(
    "reverse_etl_run",
    _RUN,
    {"sync_id": _SYNC, "status": "queued", "full_refresh": False, "created_at": "2025-03-27T17:22:00Z"},
)
_CONNECTION_SYNC: Json = {
    "id": _RUN,
    "status": "succeeded",
    "startedAt": "2024-04-20T05:41:18.871Z",
    "finishedAt": "2024-04-20T05:44:02.105Z",
    "error": None,
    "rowsStillFailing": 0,
    "metrics": {"succeeded": {"total": 480}, "failed": {"total": 7}, "changed": {"total": 487}, "total": 500},
}
_LETTER_ITEM = _item(
    "reverse_etl_dlq_entry",
    _LETTER,
    {
        "sync_id": _SYNC,
        "run_id": _RUN,
        "error_code": "DESTINATION_VALIDATION",
        "message": "INVALID_EMAIL: bad format for field Email",
        "record_keys": {"External_Id__c": "acc_88291"},
        "attempts": 5,
        "first_seen_at": "2025-03-27T12:16:10Z",
        "last_seen_at": "2025-03-27T12:16:10Z",
        "resolved": False,
        "state": "open",
        "resolution": None,
        "resolved_at": None,
        "replay_run_id": None,
    },
)
_WAREHOUSE_SETTINGS = {"url": "postgresql://reader@warehouse.example.com:5432/analytics"}
_CRM_SETTINGS = {"url": "https://crm.example.com/{object}/batch", "bearer_token": "***"}
_SOURCE_ITEM = _connection("source", _SOURCE, name="Warehouse", connector="postgres", settings=_WAREHOUSE_SETTINGS)
_DESTINATION_ITEM = _connection(
    "destination",
    _DESTINATION,
    name="CRM",
    connector="http",
    settings=_CRM_SETTINGS,
    requests_per_second=20.0,
    max_in_flight=4,
)
_TOKEN = {
    "name": "airflow",
    "role": "editor",
    "created_at": _CREATED,
    "expires_at": None,
    "revoked_at": None,
    "last_used_at": None,
}
_RECORD = {
    "at": _CREATED,
    "actor": "token:4tQ9xZ2b",
    "address": "192.0.2.7",
    "action": "toggleSync",
    "object_id": _SYNC,
    "before": {"enabled": True},
    "after": {"enabled": False},
    "digest": "9f" * 32,
}
_CONNECTOR_ITEM = _item(
    "connector",
    "postgres",
    {
        "kind": "source",
        "label": "PostgreSQL",
        "level": "gold",
        "verified_against": "real PostgreSQL servers, versions 15 and 18",
        "settings_schema": {"type": "object", "properties": {"url": {"type": "string", "format": "password"}}},
        "secret_fields": ["url"],
        "capabilities": [],
    },
)


def _object(name: str) -> Json:
    attributes = {"label": name, "api_name": name, "supports_upsert": True, "sync_modes": ["insert", "upsert"]}
    return _item("destination_object", name, {**attributes, "writable": True, "has_members": False})


def _field(name: str, label: str, *, required: bool) -> Json:
    attributes = {"label": label, "data_type": "string", "required": required, "updateable": True}
    return _item("destination_field", name, {**attributes, "external_id": not required})


def _deleted(kind: str, item_id: str) -> Json:
    return _one(_item(kind, item_id, {"deleted": True, "deleted_at": "2025-03-27T17:20:00Z"}))


def _tested(item_id: str) -> Json:
    return _one(_item("connection_test", item_id, {"status": "connected", "code": None, "message": None}))


ASKED: dict[str, Json] = {
    **JOBS_ASKED,
    **RETL_ASKED,
    **MANAGEMENT_ASKED,
    "createSync": {
        "name": _NAME,
        "sourceQuery": _QUERY,
        "destinationId": _DESTINATION,
        "objectName": "Account",
        "fieldMappings": _MAPPINGS,
        "syncMode": "upsert",
        "schedule": _CRON,
    },
    "updateSync": {"schedule": _HOURLY},
    "suggestMappings": {
        "sourceId": _SOURCE,
        "sourceQuery": _QUERY,
        "destinationId": _DESTINATION,
        "objectName": "Account",
    },
    "ensureField": {"objectName": "Account", "name": "Tier__c", "label": "Tier", "kind": "text"},
    "toggleSync": {"syncId": _SYNC, "enabled": False},
    "startRuns": {"syncId": _SYNC, "fullRefresh": False},
    "confirmDeletes": {"deletes": 812},
    "resolveDeadLetters": {"entryIds": [_LETTER], "resolution": "fixed_upstream", "replay": False},
    "startConnectionSync": {"syncType": "incremental"},
    "createSource": {
        "name": "Warehouse",
        "connector": "postgres",
        "settings": {"url": "postgresql://reader:secret@warehouse.example.com:5432/analytics"},
    },
    "updateSource": {"name": "Warehouse of analytics"},
    "createDestination": {
        "name": "CRM",
        "connector": "http",
        "settings": {"url": "https://crm.example.com/{object}/batch", "bearer_token": "secret"},
        "requestsPerSecond": 20,
        "maxInFlight": 4,
    },
    "updateDestination": {"requestsPerSecond": 20},
    "createToken": {"name": "airflow", "role": "editor"},
}
"""Bodies of requests."""

TOLD: dict[str, Json] = {
    **JOBS_TOLD,
    **RETL_TOLD,
    **ABSENT_EXAMPLES,
    **MANAGEMENT_TOLD,
    "listSyncs": _page(_item("reverse_etl_sync", _SYNC, _BRIEF_SYNC)),
    "createSync": _one(_sync()),
    "getSync": _one(_sync()),
    "updateSync": _one(_sync(schedule=_HOURLY, updated_at="2025-03-27T17:15:00Z", next_run_at="2025-03-27T18:00:00Z")),
    "deleteSync": _deleted("reverse_etl_sync", _SYNC),
    "pauseSync": _one(_sync(enabled=False, next_run_at=None)),
    "resumeSync": _one(_sync()),
    "rollBackSync": _one(_sync(version=3)),
    "toggleSync": _one(
        _item("reverse_etl_sync", _SYNC, {"enabled": False, "updated_at": "2025-03-27T17:23:30Z"}),
    ),
    "startRuns": _one(_QUEUED_RUN),
    "listRuns": _page(_item("reverse_etl_run", _RUN, _BRIEF_RUN)),
    "getRun": _one(_WHOLE_RUN),
    "cancelRun": _one(_WHOLE_RUN),
    "confirmDeletes": _one(_QUEUED_RUN),
    "listReverseEtlDestinations": {
        "data": [
            _item(
                "reverse_etl_destination",
                _DESTINATION,
                {
                    "name": "Salesforce Production",
                    "connector": "salesforce",
                    "status": "connected",
                    "objects_discoverable": True,
                },
            )
        ]
    },
    "listDestinationObjects": {"data": [_object("Account"), _object("Contact")]},
    "listObjectFields": {
        "data": [
            _field("Name", "Account Name", required=True),
            _field("External_Id__c", "Warehouse Account Id", required=False),
        ]
    },
    "ensureField": _one(_field("Tier__c", "Tier", required=False)),
    "suggestMappings": {"data": [_item("mapping_suggestion", "Name", _SUGGESTION)]},
    "listDeadLetters": _page(_LETTER_ITEM),
    "countDeadLetters": _one(
        {
            "type": "reverse_etl_dlq_stats",
            "attributes": {
                "open_count": 12,
                "resolved_count": 340,
                "by_error_code": {"DESTINATION_VALIDATION": 7, "RATE_LIMIT": 3, "UNKNOWN": 2},
                "computed_at": "2025-03-27T17:30:00Z",
            },
        }
    ),
    "resolveDeadLetters": _one(
        {
            "type": "reverse_etl_dlq_resolve",
            "attributes": {
                "resolved_ids": [_LETTER],
                "replaying_ids": [],
                "replay_run_id": None,
                "replay_run_ids": [],
                "resolved_at": "2025-03-27T17:35:00Z",
            },
        }
    ),
    "startConnectionSync": {"syncId": _RUN},
    "listConnectionSyncs": {
        "syncs": [_CONNECTION_SYNC],
        "paging": {"total": 200, "next": f"/v2/retl-connections/{_SYNC}/syncs?page=2"},
    },
    "getConnectionSync": _CONNECTION_SYNC,
    "listConnectors": {"data": [_CONNECTOR_ITEM]},
    "listSources": _page(_SOURCE_ITEM),
    "createSource": _one(_SOURCE_ITEM),
    "getSource": _one(_SOURCE_ITEM),
    "updateSource": _one(_SOURCE_ITEM),
    "deleteSource": _deleted("source", _SOURCE),
    "testSource": _tested(_SOURCE),
    "listDestinations": _page(_DESTINATION_ITEM),
    "createDestination": _one(_DESTINATION_ITEM),
    "getDestination": _one(_DESTINATION_ITEM),
    "updateDestination": _one(_DESTINATION_ITEM),
    "deleteDestination": _deleted("destination", _DESTINATION),
    "testDestination": _tested(_DESTINATION),
    "listTokens": {"data": [_item("token", "4tQ9xZ2b", _TOKEN)]},
    "createToken": _one(_item("token", "4tQ9xZ2b", {**_TOKEN, "token": "trc_4tQ9xZ2b_..."})),
    "revokeToken": _one(_item("token", "4tQ9xZ2b", {"revoked": True})),
    "listAuditRecords": _page(_item("audit_record", "1", _RECORD)),
}
"""Answers."""
