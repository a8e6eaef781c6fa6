"""Examples of what RudderStack's command line and Terraform provider ask and are told, by operation."""

from typing import Any

Json = dict[str, Any]

_ACCOUNT = "conn_warehouse"
_DESTINATION = "conn_sf_prod"
_SOURCE = "retl_source_01j9k6m7n8o9p0q1"
_SYNC = "retl_sync_01j9k6m7n8o9p0q1"
_WORKSPACE = "ws_01j9k6m7n8o9p0q1"
_TIMES = {"createdAt": "2025-03-27T17:00:00.000Z", "updatedAt": "2025-03-27T17:00:00.000Z"}
_CONFIG = {"primaryKey": "account_id", "sql": "SELECT account_id, name FROM analytics.dim_crm_account"}
_SOURCE_ASKED: Json = {
    "name": "CRM accounts",
    "config": _CONFIG,
    "sourceType": "model",
    "sourceDefinitionName": "postgres",
    "accountId": _ACCOUNT,
    "enabled": True,
    "externalId": "crm-accounts",
}
_SOURCE_TOLD: Json = {"id": _SOURCE, **_SOURCE_ASKED, "workspaceId": _WORKSPACE, **_TIMES}
_SCHEDULE = {"type": "basic", "everyMinutes": 60}
_CONNECTION_ASKED: Json = {
    "sourceId": _SOURCE,
    "destinationId": _DESTINATION,
    "enabled": True,
    "externalId": "crm-accounts-to-salesforce",
    "schedule": _SCHEDULE,
    "syncBehaviour": "upsert",
    "identifiers": [{"from": "account_id", "to": "External_Id__c"}],
    "mappings": [{"from": "name", "to": "Name"}],
    "constants": [{"key": "Origin__c", "value": "warehouse"}],
    "object": "Account",
}
_CONNECTION_TOLD: Json = {"id": _SYNC, **_CONNECTION_ASKED, **_TIMES}
_ACCOUNT_TOLD: Json = {
    "id": _ACCOUNT,
    "name": "Warehouse",
    "workspaceId": _WORKSPACE,
    "definition": {"name": "postgres", "type": "postgres", "category": "source"},
    "options": {"host": "warehouse.internal", "user": "tailrace", "password": "***"},
    **_TIMES,
}
_DESTINATION_TOLD: Json = {
    "id": _DESTINATION,
    "name": "Salesforce Production",
    "type": "http",
    "enabled": True,
    "config": {"url": "https://crm.example/rows", "bearer_token": "***"},
    "workspaceId": _WORKSPACE,
    **_TIMES,
}

RETL_ASKED: Json = {
    "createRetlSource": _SOURCE_ASKED,
    "updateRetlSource": {"name": "CRM accounts", "config": _CONFIG, "enabled": True, "accountId": _ACCOUNT},
    "setRetlSourceExternalId": {"externalId": "crm-accounts"},
    "startPreview": {"accountId": _ACCOUNT, "sql": _CONFIG["sql"], "limit": 10},
    "createRetlConnection": _CONNECTION_ASKED,
    "updateRetlConnection": {
        "enabled": True,
        "schedule": _SCHEDULE,
        "mappings": [
            {"from": "name", "to": "Name"},
            {"from": "phone", "to": "Phone", "onNull": "skip"},
            {"template": "{{ city }}, {{ country | upcase }}", "to": "Location__c"},
        ],
        "constants": [],
    },
    "setRetlConnectionExternalId": {"externalId": "crm-accounts-to-salesforce"},
}
RETL_TOLD: Json = {
    "createRetlSource": _SOURCE_TOLD,
    "listRetlSources": {"data": [_SOURCE_TOLD]},
    "getRetlSource": _SOURCE_TOLD,
    "updateRetlSource": _SOURCE_TOLD,
    "setRetlSourceExternalId": {"id": _SOURCE, "externalId": "crm-accounts"},
    "startPreview": {"id": "retl_preview_01j9k6m7n8o9p0q1"},
    "getPreview": {"status": "completed", "rows": [{"account_id": "acc_88291", "name": "Brook Mill"}]},
    "createRetlConnection": _CONNECTION_TOLD,
    "listRetlConnections": {
        "data": [_CONNECTION_TOLD],
        "paging": {"total": 120, "next": "/v2/retl-connections?page=3&pageSize=50"},
    },
    "getRetlConnection": _CONNECTION_TOLD,
    "updateRetlConnection": _CONNECTION_TOLD,
    "setRetlConnectionExternalId": {"id": _SYNC, "externalId": "crm-accounts-to-salesforce"},
    "getTokenWorkspace": {
        "workspace": {
            "id": _WORKSPACE,
            "name": "Brook Mill",
            "environment": "production",
            "status": "active",
            "region": "",
        }
    },
    "listAccounts": {"data": [_ACCOUNT_TOLD], "paging": {"total": 1}},
    "getAccount": _ACCOUNT_TOLD,
    "listRudderDestinations": {"destinations": [_DESTINATION_TOLD], "paging": {"total": 1}},
    "getRudderDestination": {"destination": _DESTINATION_TOLD},
}
