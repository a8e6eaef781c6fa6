"""The document of the API: sound, whole, fresh, and true of what it shows."""

import json
import re
from collections import Counter

import orjson
import pytest
from jsonschema import ValidationError
from openapi_spec_validator import OpenAPIV31SpecValidator

from tailrace.store.tokens import Role
from tailrace_gateway.calls import Route
from tailrace_gateway.documents import render
from tailrace_gateway.openapi import canonical
from tailrace_gateway.routes import ROUTES
from tests.architecture.source import ROOT
from tests.gateway.caller import Caller, Json
from tests.gateway.conftest import Gateway
from tests.gateway.documented import document, operation_at, operations, require_documented, resolved, validator

OPERATIONS = [pytest.param(operation, id=name) for name, operation in operations()]
_ALL = {"summary", "description", "tags", "responses", "operationId"}
_NAME = re.compile(r"{(\w+)}")


def test_it_is_openapi_3_1() -> None:
    faults = [fault.message for fault in OpenAPIV31SpecValidator(document()).iter_errors()]

    assert (document()["openapi"], faults) == ("3.1.0", [])


def test_a_wrong_document_would_be_refused() -> None:
    wrong = json.loads(render()["openapi.json"])
    wrong["paths"]["/api/connectors"]["get"]["responses"]["200"].pop("description")

    assert list(OpenAPIV31SpecValidator(wrong).iter_errors()) != []


@pytest.mark.parametrize("path", sorted(render()))
def test_committed_document_is_fresh(path: str) -> None:
    assert (ROOT / "deploy" / path).read_bytes() == render()[path], "run `make generate`"


async def test_it_is_served_to_anybody(gateway: Gateway) -> None:
    async with gateway.session.get(gateway.url + "/openapi.json") as got:
        served = await got.read()

    assert (got.status, got.content_type) == (200, "application/json")
    assert orjson.loads(served) == orjson.loads(render()["openapi.json"])


def test_every_route_stands_in_it_once_under_its_canonical_path() -> None:
    described = Counter((method, path) for path, item in document()["paths"].items() for method in item)

    assert described == Counter((route.method.lower(), canonical(route)) for route in ROUTES)
    assert len({name for name, _ in operations()}) == len(ROUTES)


@pytest.mark.parametrize("prefix", ["", "/v1"])
def test_alias_leads_to_the_operation_that_it_is_an_alias_of(prefix: str) -> None:
    found = operation_at("GET", f"{prefix}/api/reverse-etl/syncs/retl_sync_x?limit=1")

    assert found["operationId"] == "getSync"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operation_says_all_that_a_client_needs(operation: Json) -> None:
    told = {name for name in _ALL if operation.get(name)}
    success = [status for status in operation["responses"] if status < "300"]
    undescribed = [each["name"] for each in operation.get("parameters", []) if not each["description"]]

    assert told == _ALL
    assert len(success) == 1
    assert undescribed == []


@pytest.mark.parametrize("route", [pytest.param(route, id=route.operation_id) for route in ROUTES])
def test_operation_names_the_errors_that_its_route_can_have(route: Route) -> None:
    operation = document()["paths"][canonical(route)][route.method.lower()]
    statuses = {int(status) for status in operation["responses"]}
    in_path = [each["name"] for each in operation.get("parameters", []) if each["in"] == "path"]

    assert statuses >= {400, 401, 422, 503}
    assert (403 in statuses) == (route.role is not Role.VIEWER or 403 in route.errors)
    assert (404 in statuses) >= ("{" in route.path)
    assert in_path == _NAME.findall(route.path)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_examples_are_as_their_schemas_say(operation: Json) -> None:
    media = [
        content
        for part in (operation.get("requestBody", {}), *map(resolved, operation["responses"].values()))
        for content in part.get("content", {}).values()
    ]
    examples = [(content["schema"], each["value"]) for content in media for each in content["examples"].values()]

    faults = [fault.message for schema, example in examples for fault in validator(schema).iter_errors(example)]

    assert faults == []
    assert len(examples) >= len(media) > 0


def test_contracts_examples_are_those_that_are_shown() -> None:
    listed = operation_at("GET", "/v2/retl-connections/x/syncs")["responses"]["200"]["content"]["application/json"]
    runs = operation_at("GET", "/api/reverse-etl/runs")["responses"]["200"]["content"]["application/json"]

    [run] = runs["examples"]["published"]["value"]["data"]
    attributes = run["attributes"]
    assert (attributes["rows_read"], attributes["rows_written"], attributes["rows_failed"]) == (12840, 12795, 45)
    assert listed["examples"]["published"]["value"]["syncs"][0]["startedAt"] == "2024-04-20T05:41:18.871Z"


async def test_sync_whose_run_is_asked_to_end_shows_a_word_of_the_contract(
    gateway: Gateway, admin: Caller, sync_id: str
) -> None:
    started = await admin.post("/api/reverse-etl/sync/run", {"syncId": sync_id})
    run_id = started.json["data"]["id"]
    await gateway.stores.database.execute("UPDATE runs SET status = 'cancelling' WHERE id = $1", run_id)

    shown = await admin.get(f"/api/reverse-etl/syncs/{sync_id}")

    assert shown.attributes["last_run"]["status"] == "running"


class TestRequireDocumented:
    """The check that every call of these tests goes through."""

    ANSWER = b'{"syncId": "retl_run_x"}'
    PATH = "/retl-connections/x/start"

    def test_it_takes_an_answer_as_described(self) -> None:
        require_documented("POST", self.PATH, 200, {"Content-Type": "application/json"}, self.ANSWER)

    @pytest.mark.parametrize("raw", [b'{"syncId": 1}', b'{"sync_id": "x"}', b'{"syncId": "x", "more": 1}'])
    def test_it_refuses_another_document(self, raw: bytes) -> None:
        with pytest.raises(ValidationError):
            require_documented("POST", self.PATH, 200, {"Content-Type": "application/json"}, raw)

    @pytest.mark.parametrize(
        ("status", "content_type"), [(202, "application/json"), (200, "text/plain")], ids=["status", "type"]
    )
    def test_it_refuses_another_status_or_type(self, status: int, content_type: str) -> None:
        with pytest.raises(AssertionError):
            require_documented("POST", self.PATH, status, {"Content-Type": content_type}, self.ANSWER)
