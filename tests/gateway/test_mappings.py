"""Mappings as callers write them: kept and shown, refused where they cannot work, and suggested."""

from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from tests.gateway.caller import Caller, a_retl_connection, a_retl_source, a_sync

SYNCS = "/api/reverse-etl/syncs"
CONNECTIONS = "/v2/retl-connections"
QUERY = "SELECT id, full_name, is_vip, score FROM people"
TABLES = """
    CREATE TABLE people (id int, full_name text, is_vip boolean, score text);
    CREATE TABLE contacts (
        id int PRIMARY KEY, "FullName" text NOT NULL, score numeric, made int GENERATED ALWAYS AS (1) STORED
    );
"""
HASH = {"kind": "email", "platform": "meta"}
MADE: list[dict[str, Any]] = [
    {"source": "account_id", "destination": "External_Id__c", "key": True, "cast": "string"},
    {"template": "{{ name | upcase }}", "destination": "Name", "on_null": "skip"},
    {"source": "email", "destination": "em", "hash": HASH},
    {"value": None, "destination": "Nothing"},
]
WRONG = [
    ({"cast": "text"}, "cast"),
    ({"onNull": "drop"}, "onNull"),
    ({"hash": {"kind": "shoe_size", "platform": "meta"}}, "hash/kind"),
    ({"hash": {"kind": "email", "platform": "myspace"}}, "hash/platform"),
    ({"hash": {"kind": "zip", "platform": "google"}}, "hash"),
]
UNSOUND = [
    ("{{ name | shout }}", "there is no filter 'shout'; there are abs, append"),
    ("{% include 'x' %}", "unexpected tag 'include'"),
    ("{{ name", "not Liquid"),
]


@pytest_asyncio.fixture
async def tables(admin: Caller, empty_database_url: str) -> tuple[str, str]:
    """A source of people and a destination with contacts, both of them PostgreSQL."""
    connection = await asyncpg.connect(empty_database_url, timeout=10, command_timeout=30)
    await connection.execute(TABLES)
    await connection.close(timeout=10)
    settings = {"url": empty_database_url}
    source_id = await admin.made("/api/sources", {"name": "p", "connector": "postgres", "settings": settings})
    target_id = await admin.made("/api/destinations", {"name": "c", "connector": "postgres", "settings": settings})
    return source_id, target_id


def a_table_sync(tables: tuple[str, str], *mappings: dict[str, Any]) -> dict[str, Any]:
    source_id, target_id = tables
    key = {"source": "id", "destination": "id", "key": True}
    return a_sync(
        target_id,
        sourceId=source_id,
        sourceQuery=QUERY,
        objectName="public.contacts",
        fieldMappings=[key, *mappings],
    )


async def test_mapping_is_shown_as_it_was_said_in_either_case(
    admin: Caller, source_id: str, destination_id: str
) -> None:
    camel = [{("onNull" if name == "on_null" else name): value for name, value in each.items()} for each in MADE]

    created = await admin.post(SYNCS, a_sync(destination_id, fieldMappings=camel, onTypeMismatch="send_null"))
    renamed = await admin.put(f"{SYNCS}/{created.json['data']['id']}", {"field_mappings": MADE, "name": "other"})

    assert created.status == 201
    assert (created.attributes["field_mappings"], created.attributes["on_type_mismatch"]) == (MADE, "send_null")
    assert (renamed.attributes["field_mappings"], renamed.attributes["version"]) == (MADE, 1)


@pytest.mark.parametrize(("said", "place"), WRONG, ids=str)
async def test_unknown_word_is_refused_at_its_place(
    admin: Caller, source_id: str, destination_id: str, said: dict[str, Any], place: str
) -> None:
    key = {"source": "id", "destination": "id", "key": True}

    refused = await admin.post(
        SYNCS, a_sync(destination_id, fieldMappings=[key, {"source": "a", "destination": "b", **said}])
    )

    assert refused.status == 422
    assert [fault["pointer"] for fault in refused.json["errors"]] == [f"/fieldMappings/1/{place}"]


@pytest.mark.parametrize(("template", "words"), UNSOUND, ids=str)
async def test_template_that_is_not_sound_is_refused_in_both_contracts(
    admin: Caller, source_id: str, destination_id: str, template: str, words: str
) -> None:
    model_id = (await admin.post("/v2/retl-sources", a_retl_source(source_id))).json["id"]
    key = {"source": "account_id", "destination": "Id", "key": True}

    refused = [
        await admin.post(
            SYNCS, a_sync(destination_id, fieldMappings=[key, {"template": template, "destination": "Name"}])
        ),
        await admin.post(
            CONNECTIONS, a_retl_connection(model_id, destination_id, mappings=[{"template": template, "to": "Name"}])
        ),
    ]

    assert [each.status for each in refused] == [422, 422]
    [[ours], [theirs]] = [each.json["errors"] for each in refused]
    assert (ours["pointer"], theirs["pointer"]) == ("/fieldMappings/1/template", "/mappings/0/template")
    assert words in ours["detail"]
    assert words in theirs["detail"]


async def test_everything_that_is_wrong_is_told_before_the_sync_is_kept(admin: Caller, tables: tuple[str, str]) -> None:
    refused = await admin.post(
        SYNCS,
        a_table_sync(
            tables,
            {"source": "nickname", "destination": "nothing"},
            {"source": "is_vip", "destination": "score", "onNull": "skip"},
            {"source": "id", "destination": "made"},
        ),
    )

    assert refused.status == 422
    assert {(fault["pointer"], fault["code"]) for fault in refused.json["errors"]} == {
        ("/fieldMappings/1/source", "column"),
        ("/fieldMappings/1/destination", "field"),
        ("/fieldMappings/2/onNull", "on_null"),
        ("/fieldMappings/2/destination", "type"),
        ("/fieldMappings/3/destination", "read_only"),
        ("/fieldMappings", "required"),
    }
    assert (await admin.get(SYNCS)).json["data"] == []


async def test_plan_shows_rows_as_they_are_made(
    admin: Caller, tables: tuple[str, str], empty_database_url: str
) -> None:
    connection = await asyncpg.connect(empty_database_url, timeout=10, command_timeout=30)
    await connection.execute("INSERT INTO people VALUES (1, 'jo', true, ' 1.50 '), (2, 'max', true, 'many')")
    await connection.close(timeout=10)
    name = {"template": "{{ full_name | upcase }}", "destination": "FullName"}
    sync_id = await admin.made(SYNCS, a_table_sync(tables, name, {"source": "score", "destination": "score"}))

    planned = await admin.post(f"/api/syncs/{sync_id}/plan", {})

    samples = {(each["code"], str(each["fields"])) for each in planned.attributes["samples"]}
    assert samples == {
        (None, "{'id': 1, 'FullName': 'JO', 'score': 1.5}"),
        ("TYPE_MISMATCH", "{'id': 2, 'FullName': 'MAX', 'score': 'many'}"),
    }


async def test_columns_are_suggested_for_the_fields_they_are_meant_for(admin: Caller, tables: tuple[str, str]) -> None:
    source_id, target_id = tables
    body = {"sourceId": source_id, "sourceQuery": QUERY, "destinationId": target_id, "objectName": "public.contacts"}

    found = await admin.post("/api/reverse-etl/mapping-suggestions", body)

    assert found.status == 200
    assert [each["attributes"] for each in found.json["data"]] == [
        {"source": "full_name", "destination": "FullName", "score": 1.0, "converted": False},
        {"source": "id", "destination": "id", "score": 1.0, "converted": False},
        {"source": "score", "destination": "score", "score": 0.95, "converted": True},
    ]


class TestConnections:
    PARTS = (
        {"identifiers": [{"from": "account_id", "to": "Id", "cast": "string"}]}
        | {"mappings": [{"template": "{{ name }}", "to": "Name", "onNull": "skip"}]}
        | {"constants": [{"key": "Rank", "value": "5", "cast": "integer"}], "onTypeMismatch": "fail_run"}
    )

    async def test_parts_are_kept_and_shown(self, admin: Caller, source_id: str, destination_id: str) -> None:
        model_id = (await admin.post("/v2/retl-sources", a_retl_source(source_id))).json["id"]

        made = await admin.post(CONNECTIONS, a_retl_connection(model_id, destination_id, **self.PARTS))
        said = {"schedule": {"type": "manual"}, "mappings": self.PARTS["mappings"]}
        kept = await admin.put(f"{CONNECTIONS}/{made.json['id']}", said)
        shown = await admin.get(f"{SYNCS}/{made.json['id']}")

        assert (made.json.items() >= self.PARTS.items(), kept.json.items() >= self.PARTS.items()) == (True, True)
        assert shown.attributes["field_mappings"] == [
            {"source": "account_id", "destination": "Id", "key": True, "cast": "string"},
            {"template": "{{ name }}", "destination": "Name", "on_null": "skip"},
            {"value": "5", "destination": "Rank", "cast": "integer"},
        ]

    async def test_faults_are_told_where_the_body_has_them(
        self, admin: Caller, source_id: str, tables: tuple[str, str]
    ) -> None:
        config = {"primaryKey": "id", "sql": QUERY}
        model_id = (await admin.post("/v2/retl-sources", a_retl_source(tables[0], config=config))).json["id"]
        parts: dict[str, Any] = {
            "identifiers": [{"from": "id", "to": "id"}],
            "mappings": [{"from": "nickname", "to": "FullName"}, {"from": "is_vip", "to": "score"}],
            "constants": [{"key": "nothing", "value": "x"}],
            "object": "public.contacts",
        }

        refused = await admin.post(CONNECTIONS, a_retl_connection(model_id, tables[1], **parts))

        assert refused.status == 422
        assert {fault["pointer"] for fault in refused.json["errors"]} == {
            "/mappings/0/from",
            "/mappings/1/to",
            "/constants/0/key",
        }

    @pytest.mark.parametrize(("said", "place"), WRONG[:4], ids=str)
    async def test_unknown_word_is_refused_at_its_place(
        self, admin: Caller, source_id: str, destination_id: str, said: dict[str, Any], place: str
    ) -> None:
        model_id = (await admin.post("/v2/retl-sources", a_retl_source(source_id))).json["id"]
        mappings = [{"from": "name", "to": "Name", **said}]

        refused = await admin.post(CONNECTIONS, a_retl_connection(model_id, destination_id, mappings=mappings))

        assert [fault["pointer"] for fault in refused.json["errors"]] == [f"/mappings/0/{place}"]
