"""What rudder-cli 0.24 asks, in its order, when it applies a project with one SQL model, changes and removes it."""

import pytest

from tests.gateway.caller import Caller, a_retl_source

# It gives up before it applies anything if one of these is no list.
ABSENT = [
    "/v2/data-graphs?hasExternalId=true&page=1&pageSize=100",
    "/v2/catalog/custom-types?hasExternalId=true",
    "/v2/catalog/tracking-plans?hasExternalId=true",
    "/v2/catalog/categories?hasExternalId=true",
    "/v2/catalog/properties?hasExternalId=true",
    "/v2/catalog/events?hasExternalId=true",
    "/v2/event-stream-sources",
    "/transformations",
    "/libraries",
]
OWNED = "/v2/retl-sources?hasExternalId=true&sourceType=model"


@pytest.mark.parametrize("path", ABSENT)
async def test_product_that_tailrace_has_not_is_an_empty_list(admin: Caller, path: str) -> None:
    listed = await admin.get(path)

    assert (listed.status, listed.json) == (200, {"data": [], "total": 0, "paging": {"total": 0}})


async def test_project_is_applied_changed_and_removed(admin: Caller, source_id: str) -> None:
    config = {"primaryKey": "account_id", "sql": "SELECT account_id, name FROM accounts", "description": "CRM accounts"}
    wider = config | {"sql": "SELECT account_id, name, phone FROM accounts"}
    before = await admin.get(OWNED)
    made = await admin.post("/v2/retl-sources", a_retl_source(source_id, config=config, externalId="crm-accounts"))
    applied = await admin.get(OWNED)
    said = {"name": "CRM accounts", "config": wider, "enabled": True, "accountId": source_id}
    updated = await admin.put(f"/v2/retl-sources/{made.json['id']}", said)
    removed = await admin.delete(f"/v2/retl-sources/{made.json['id']}")

    after = await admin.get(OWNED)

    assert before.json == after.json == {"data": []}
    assert applied.json == {"data": [made.json]}
    assert (updated.json["config"], updated.json["externalId"]) == (wider, "crm-accounts")
    assert removed.status == 204
