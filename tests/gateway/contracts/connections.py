"""Connections to change and to look at, made through either contract."""

from typing import Any

from tests.gateway.caller import Caller, Json, a_retl_connection, a_sync

CONNECTIONS = "/v2/retl-connections"
# The connection of the provider's acceptance tests: rows that become events.
AN_EVENT: dict[str, Any] = {
    "object": None,
    "event": {"type": "identify"},
    "identifiers": [{"from": "email", "to": "user_id"}],
    "mappings": [{"from": "name", "to": "first_name"}],
}
MANUAL = {"schedule": {"type": "manual"}}
# In an order, and with values, that this contract does not know.
OF_THE_OTHER_CONTRACT: list[Json] = [
    {"source": "name", "destination": "Name"},
    {"value": 5, "destination": "Score__c"},
    {"value": True, "destination": "Vip__c"},
    {"source": "account_id", "destination": "External_Id__c", "key": True},
    {"value": None, "destination": "Cleared__c"},
]


async def made_elsewhere(admin: Caller, destination_id: str, mappings: Json) -> str:
    """The path of a sync that was made by the other contract."""
    sync_id = await admin.made("/api/reverse-etl/syncs", a_sync(destination_id, fieldMappings=mappings))
    return f"/api/reverse-etl/syncs/{sync_id}"


async def made_connection(admin: Caller, model_id: str, destination_id: str, **changes: Json) -> dict[str, Json]:
    """A connection as it is shown."""
    made = await admin.post(CONNECTIONS, a_retl_connection(model_id, destination_id, **changes))
    assert made.status == 200, made.raw
    return dict(made.json)
