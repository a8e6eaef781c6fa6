"""The requests to HubSpot are those that HubSpot's own client makes."""

import jsonschema
import orjson
import pytest

from tailrace.connector_kit.manifest.stage import staged
from tailrace.core.rows import Operation
from tailrace.destinations.hubspot import IDS, MANIFEST
from tests.destinations.sdk_models import requests_of, schema_of

SDK = "hubspot-api-client"
MODELS = "hubspot/crm/objects/models"
CALLS = requests_of(SDK, "hubspot/crm/objects/api/batch_api.py")


@pytest.mark.parametrize("operation", sorted(MANIFEST.operations))
async def test_request_is_one_that_the_client_would_make(operation: Operation) -> None:
    path = MANIFEST.operations[operation].path.replace("{object}", "{objectType}")
    async with staged(MANIFEST, operation) as stage:
        stage.answer(3)

        await stage.send(3)

    [request] = stage.vendor.writes
    schema = schema_of(SDK, MODELS, CALLS[request.method, path])
    jsonschema.validate(orjson.loads(request.body), schema)


def test_question_for_ids_is_one_that_the_client_would_make() -> None:
    schema = schema_of(SDK, MODELS, CALLS[IDS.ask.method, IDS.ask.path.replace("{object}", "{objectType}")])

    assert {"idProperty", "properties", "inputs"} <= schema["properties"].keys()
    assert schema["properties"]["inputs"]["items"]["required"] == ["id"]


@pytest.mark.parametrize("wrong", [{"inputs": [{"id": 1, "properties": {}}]}, {"inputs": [{"id": "1"}]}, {"rows": []}])
def test_model_of_the_client_refuses_what_it_would_not_send(wrong: object) -> None:
    schema = schema_of(SDK, MODELS, CALLS["POST", "/crm/v3/objects/{objectType}/batch/upsert"])

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, schema)
