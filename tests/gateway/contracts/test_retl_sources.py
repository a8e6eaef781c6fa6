"""RudderStack's sources, by the requests of its Go client (rudder-iac 0.18 and 0.24) and Terraform provider."""

import re
from typing import Any

import pytest

from tailrace.core.ids import WorkspaceId
from tailrace.store.tokens import Role
from tests.gateway.caller import Answered, Caller, a_retl_connection, a_retl_source
from tests.gateway.conftest import Gateway

SOURCES = "/v2/retl-sources"
PREVIEW = f"{SOURCES}/preview"
_MILLISECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")

PREFIXES = pytest.mark.parametrize("prefix", ["/v2", ""], ids=["with /v2", "without prefix"])


@PREFIXES
async def test_source_is_shown_as_it_was_made(
    admin: Caller, workspace_id: WorkspaceId, source_id: str, prefix: str
) -> None:
    asked = a_retl_source(source_id, externalId="crm-accounts")

    made = await admin.post(f"{prefix}/retl-sources", asked)
    shown = await admin.get(f"{prefix}/retl-sources/{made.json['id']}")

    told = dict(shown.json)
    assert (made.status, made.json) == (200, shown.json)
    assert _MILLISECONDS.fullmatch(told.pop("createdAt"))
    assert _MILLISECONDS.fullmatch(told.pop("updatedAt"))
    assert told == asked | {"id": made.json["id"], "workspaceId": workspace_id}


async def test_table_is_read_by_its_quoted_name(admin: Caller, source_id: str, destination_id: str) -> None:
    config = {"primaryKey": "id", "schema": "analytics", "table": 'odd "name"'}
    made = await admin.post(SOURCES, a_retl_source(source_id, sourceType="table", config=config))

    connection = await admin.post("/v2/retl-connections", a_retl_connection(made.json["id"], destination_id))

    sync = await admin.get(f"/api/reverse-etl/syncs/{connection.json['id']}")
    assert made.json["config"] == config
    assert sync.attributes["source_query"] == 'SELECT * FROM "analytics"."odd ""name"""'


async def test_sources_are_listed_by_type_and_external_id(admin: Caller, source_id: str) -> None:
    table = {"primaryKey": "id", "schema": "analytics", "table": "accounts"}
    plain = (await admin.post(SOURCES, a_retl_source(source_id))).json["id"]
    owned = (await admin.post(SOURCES, a_retl_source(source_id, externalId="mine"))).json["id"]
    tabular = (await admin.post(SOURCES, a_retl_source(source_id, sourceType="table", config=table))).json["id"]

    found = {
        query: [source["id"] for source in (await admin.get(f"{SOURCES}?{query}")).json["data"]]
        for query in ("", "sourceType=model", "hasExternalId=true&sourceType=model", "hasExternalId=false")
    }

    assert list(found.values()) == [[plain, owned, tabular], [plain, owned], [owned], [plain, tabular]]


async def test_update_is_read_by_the_connections_from_their_next_version_on(
    admin: Caller, source_id: str, model_id: str, connection_id: str
) -> None:
    config = {"primaryKey": "account_id", "sql": "SELECT account_id, name, phone FROM dim_crm_account"}
    said = {"name": "renamed", "config": config, "enabled": True, "accountId": source_id}

    updated = await admin.put(f"{SOURCES}/{model_id}", said)

    sync = await admin.get(f"/api/reverse-etl/syncs/{connection_id}")
    assert (updated.status, updated.json["name"], updated.json["config"]) == (200, "renamed", config)
    assert (sync.attributes["version"], sync.attributes["source_query"]) == (2, config["sql"])


async def test_source_that_is_switched_off_pauses_its_connections_until_it_goes_on(
    admin: Caller, model_id: str, connection_id: str
) -> None:
    await admin.put(f"{SOURCES}/{model_id}", {"enabled": False})
    refused = await admin.post(f"/v2/retl-connections/{connection_id}/start")
    paused = await admin.get(f"/api/reverse-etl/syncs/{connection_id}")
    shown = await admin.get(f"/v2/retl-connections/{connection_id}")
    await admin.put(f"{SOURCES}/{model_id}", {"enabled": True})

    resumed = await admin.get(f"/api/reverse-etl/syncs/{connection_id}")

    assert (refused.status, refused.json["code"]) == (422, "SYNC_PAUSED")
    assert (paused.attributes["enabled"], paused.attributes["next_run_at"]) == (False, None)
    assert shown.json["enabled"] is True
    assert resumed.attributes["enabled"] is True
    assert resumed.attributes["next_run_at"] is not None


async def test_connection_that_was_paused_by_itself_stays_so_when_its_source_goes_on(
    admin: Caller, model_id: str, connection_id: str
) -> None:
    await admin.put(f"/v2/retl-connections/{connection_id}", {"enabled": False, "schedule": {"type": "manual"}})
    await admin.put(f"{SOURCES}/{model_id}", {"enabled": False})
    await admin.put(f"{SOURCES}/{model_id}", {"enabled": True})

    shown = await admin.get(f"/v2/retl-connections/{connection_id}")

    assert shown.json["enabled"] is False


@pytest.mark.parametrize("contract", ["toggle", "pause", "put"])
async def test_sync_that_was_paused_through_the_other_contract_stays_so_when_its_source_goes_on(
    admin: Caller, model_id: str, connection_id: str, contract: str
) -> None:
    await admin.put(f"{SOURCES}/{model_id}", {"enabled": False})
    await _switch(admin, connection_id, contract, enabled=False)
    await admin.put(f"{SOURCES}/{model_id}", {"enabled": True})

    shown = await admin.get(f"/v2/retl-connections/{connection_id}")
    sync = await admin.get(f"/api/reverse-etl/syncs/{connection_id}")

    assert (shown.json["enabled"], sync.attributes["enabled"]) == (False, False)


@pytest.mark.parametrize("contract", ["toggle", "pause", "put"])
async def test_sync_does_not_go_on_before_its_source(
    admin: Caller, model_id: str, connection_id: str, contract: str
) -> None:
    await admin.put(f"{SOURCES}/{model_id}", {"enabled": False})

    refused = await _switch(admin, connection_id, contract, enabled=True)

    assert refused.status == 422
    assert f"PUT /v2/retl-sources/{model_id}" in refused.json["detail"]


async def _switch(admin: Caller, sync_id: str, contract: str, *, enabled: bool) -> Answered:
    """Pause a sync or let it go on, in one of the ways that the other contract has."""
    if contract == "toggle":
        return await admin.post("/api/reverse-etl/sync/toggle", {"syncId": sync_id, "enabled": enabled})
    if contract == "pause":
        return await admin.post(f"/api/syncs/{sync_id}/{'resume' if enabled else 'pause'}")
    return await admin.put(f"/api/reverse-etl/syncs/{sync_id}", {"enabled": enabled})


async def test_source_that_a_connection_reads_is_not_deleted(admin: Caller, model_id: str, connection_id: str) -> None:
    refused = await admin.delete(f"{SOURCES}/{model_id}")
    await admin.delete(f"/v2/retl-connections/{connection_id}")
    deleted = await admin.delete(f"{SOURCES}/{model_id}")
    gone = await admin.get(f"{SOURCES}/{model_id}")

    assert (refused.status, refused.json["existing_id"]) == (409, connection_id)
    assert (deleted.status, deleted.raw, gone.status) == (204, b"", 404)


async def test_account_that_a_source_reads_is_not_deleted(admin: Caller, source_id: str, model_id: str) -> None:
    refused = await admin.delete(f"/api/sources/{source_id}")

    assert (refused.status, refused.json["existing_id"]) == (409, model_id)


async def test_external_id_is_set_and_cleared(admin: Caller, model_id: str) -> None:
    owned = await admin.put(f"{SOURCES}/{model_id}/external-id", {"externalId": "ext-123"})
    shown = await admin.get(f"{SOURCES}/{model_id}")
    cleared = await admin.put(f"{SOURCES}/{model_id}/external-id", {"externalId": ""})

    assert (owned.status, owned.json) == (200, {"id": model_id, "externalId": "ext-123"})
    assert shown.json["externalId"] == "ext-123"
    assert cleared.json["externalId"] is None


@pytest.mark.parametrize(
    ("change", "status", "told"),
    [
        ({"sourceDefinitionName": "snowflake"}, 422, "/sourceDefinitionName: this account is postgres"),
        ({"sourceType": "table"}, 422, "/config: a table has schema and table"),
        ({"sourceType": "s3"}, 422, "must be one of 'model' or 'table'"),
        ({"config": {"primaryKey": "id"}}, 422, "/config/sql: is required"),
        ({"config": {"sql": "SELECT 1"}}, 422, "/config/primaryKey: is required"),
        ({"config": {"schema": "public", "table": "accounts"}}, 422, "/config/primaryKey: is required"),
        ({"config": {"primaryKey": "", "sql": "SELECT 1"}}, 422, "must not be empty"),
        ({"accountId": "conn_unknown"}, 404, "no such connection"),
        ({"workspaceId": "ws_other"}, 422, "unknown"),
    ],
    ids=str,
)
async def test_source_that_cannot_work_is_refused(
    admin: Caller, source_id: str, change: dict[str, Any], status: int, told: str
) -> None:
    refused = await admin.post(SOURCES, a_retl_source(source_id) | change)

    assert refused.status == status
    assert told in refused.json["error"]
    assert len(refused.json.get("errors", [])) <= 1


async def test_source_of_another_workspace_is_404(admin: Caller, stranger: Caller, model_id: str) -> None:
    answers = [
        await stranger.get(f"{SOURCES}/{model_id}"),
        await stranger.put(f"{SOURCES}/{model_id}", {"name": "mine"}),
        await stranger.put(f"{SOURCES}/{model_id}/external-id", {"externalId": "mine"}),
        await stranger.delete(f"{SOURCES}/{model_id}"),
    ]

    assert {answered.status for answered in answers} == {404}
    assert (await stranger.get(SOURCES)).json == {"data": []}
    assert (await admin.get(f"{SOURCES}/{model_id}")).json["name"] == "CRM accounts"


class TestPreview:
    """The command line submits a query, then asks for its rows each second."""

    @pytest.fixture
    async def account_id(self, admin: Caller, warehouse_settings: dict[str, Any]) -> str:
        settings = warehouse_settings | {"allow_superuser": True}
        return await admin.made("/api/sources", {"name": "w", "connector": "postgres", "settings": settings})

    async def _rows(self, admin: Caller, account_id: str, sql: str, limit: int) -> dict[str, Any]:
        started = await admin.post(PREVIEW, {"accountId": account_id, "sql": sql, "limit": limit})
        assert (started.status, list(started.json)) == (200, ["id"])
        told: dict[str, Any] = (await admin.get(f"{PREVIEW}/{started.json['id']}")).json
        return told

    async def test_rows_are_shown_by_column(self, admin: Caller, account_id: str) -> None:
        sql = """SELECT n AS id, n * 1.50 AS revenue, NULL AS nothing, '{"a": [1]}'::json AS details
                 FROM generate_series(1, 100) AS n;"""

        told = await self._rows(admin, account_id, sql, 2)

        first = {"id": 1, "revenue": "1.50", "nothing": None, "details": {"a": [1]}}
        assert told == {"status": "completed", "rows": [first, first | {"id": 2, "revenue": "3.00"}]}

    async def test_limit_of_none_only_checks_the_query(self, admin: Caller, account_id: str) -> None:
        good = await self._rows(admin, account_id, "SELECT 1 AS id", 0)
        bad = await self._rows(admin, account_id, "SELECT nothing FROM nowhere", 0)

        assert good == {"status": "completed", "rows": []}
        assert (bad["status"], "nowhere" in bad["error"]) == ("failed", True)

    async def test_query_that_writes_fails_and_writes_nothing(self, admin: Caller, account_id: str) -> None:
        told = await self._rows(admin, account_id, "CREATE TABLE owned (id int)", 5)
        looked = await self._rows(admin, account_id, "SELECT to_regclass('owned') IS NULL AS is_absent", 1)

        assert told["status"] == "failed"
        assert looked["rows"] == [{"is_absent": True}]

    async def test_warehouse_that_is_away_is_told_of(self, admin: Caller, source_id: str) -> None:
        told = await self._rows(admin, source_id, "SELECT 1 AS id", 1)

        assert (told["status"], told["rows"], bool(told["error"])) == ("failed", [], True)

    async def test_rows_lie_sealed_and_go_after_a_while(self, gateway: Gateway, admin: Caller, account_id: str) -> None:
        sql = {"accountId": account_id, "sql": "SELECT 'canary-row' AS id", "limit": 1}
        started = await admin.post(PREVIEW, sql)
        kept = await gateway.stores.database.fetchval("SELECT rows FROM previews")
        await gateway.stores.database.execute("UPDATE previews SET created_at = created_at - interval '16 min'")

        gone = await admin.get(f"{PREVIEW}/{started.json['id']}")
        await gateway.stores.previews.prune()

        assert b"canary-row" not in kept
        assert (gone.status, gone.json["code"]) == (404, "PREVIEW_NOT_FOUND")
        assert await gateway.stores.database.fetchval("SELECT count(*) FROM previews") == 0

    async def test_rows_are_not_for_viewers_and_strangers(
        self, gateway: Gateway, admin: Caller, stranger: Caller, workspace_id: WorkspaceId, account_id: str
    ) -> None:
        started = await admin.post(PREVIEW, {"accountId": account_id, "sql": "SELECT 1 AS id", "limit": 1})
        viewer = await gateway.caller(workspace_id, Role.VIEWER)

        looks = [await each.get(f"{PREVIEW}/{started.json['id']}") for each in (viewer, stranger)]

        assert [answered.status for answered in looks] == [403, 404]


class TestLookups:
    async def test_accounts_show_no_secret(self, admin: Caller, source_id: str, destination_id: str) -> None:
        listed = await admin.get("/v2/accounts")
        one = await admin.get(f"/v2/accounts/{source_id}")
        owned = await admin.get("/v2/accounts?hasExternalId=true")

        assert listed.json == {"data": [one.json], "paging": {"total": 1}}
        assert one.json["definition"] == {"name": "postgres", "type": "postgres", "category": "source"}
        assert b"canary" not in listed.raw
        assert owned.json["data"] == []

    async def test_destinations_show_no_secret(self, admin: Caller, source_id: str, destination_id: str) -> None:
        listed = await admin.get("/v2/destinations")
        one = await admin.get(f"/v2/destinations/{destination_id}")

        assert listed.json == {"destinations": [one.json["destination"]], "paging": {"total": 1}}
        assert (one.json["destination"]["id"], one.json["destination"]["type"]) == (destination_id, "http")
        assert b"canary" not in listed.raw

    async def test_workspace_is_that_of_the_token(
        self, admin: Caller, stranger: Caller, workspace_id: WorkspaceId
    ) -> None:
        mine, theirs = await admin.get("/v2/workspace"), await stranger.get("/v2/workspace")

        assert mine.json["workspace"]["id"] == workspace_id
        assert theirs.json["workspace"]["id"] != workspace_id
