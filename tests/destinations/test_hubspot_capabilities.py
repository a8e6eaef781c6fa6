"""Lists and new properties of HubSpot, as its documents and its own client have them."""

from collections.abc import Sequence

import jsonschema
import orjson
import pytest

from tailrace.connector_kit.capabilities import Capability, NewField, capabilities_of
from tailrace.connector_kit.field_kinds import FieldKind
from tailrace.connector_kit.http import HttpRequest, HttpResponse
from tailrace.connector_kit.manifest.engine import destination_of
from tailrace.connector_kit.manifest.stage import staged
from tailrace.core.errors import DestinationInvalid, DestinationUnavailable, InDoubt
from tailrace.core.rows import Operation
from tailrace.destinations.hubspot import LISTS, MANIFEST
from tailrace.testing.fake_http import Answer, FakeHttp, answer
from tests.destinations.sdk_models import requests_of, schema_of

SDK = "hubspot-api-client"
HUBSPOT = destination_of(MANIFEST)
SETTINGS = HUBSPOT.settings_type.model_validate({"token": "pat-na1-made-up"})
SCHEMAS = answer(200, {"results": [{"fullyQualifiedName": "p77_car"}]})
EMAIL = {"name": "email", "label": "Email", "type": "string"}
SINCE = {"name": "since", "label": "Since", "type": "date"}


class Portal(FakeHttp):
    """Makes properties, and shows those that it has; some may come from elsewhere while it is asked to make one."""

    def __init__(self, made: Answer | None = None, *, meanwhile: Sequence[dict[str, str]] = ()) -> None:
        super().__init__(self._told)
        self.properties = [EMAIL]
        self._made = made
        self._meanwhile = meanwhile

    def _told(self, request: HttpRequest) -> HttpResponse:
        if "schemas" in request.url:
            return SCHEMAS
        if request.method == "GET":
            return answer(200, {"results": self.properties})
        self.properties += self._meanwhile
        if isinstance(self._made, Exception):
            raise self._made
        if isinstance(self._made, HttpResponse):
            return self._made
        self.properties.append(orjson.loads(request.body))
        return answer(201, {})

    @property
    def posts(self) -> list[HttpRequest]:
        return [request for request in self.requests if request.method == "POST"]


async def ensure(portal: Portal, object_name: str, field: NewField) -> str:
    async with HUBSPOT.open(SETTINGS, portal) as hubspot:
        made = await hubspot.ensure_field(object_name, field)  # type: ignore[attr-defined]  # has it by its manifest
    return f"{made.name}:{made.kind}"


def test_catalogue_says_what_it_can_do_besides() -> None:
    assert capabilities_of(HUBSPOT) == {Capability.LISTS, Capability.NEW_FIELDS}


async def test_lists_of_contacts_are_offered_to_be_mirrored() -> None:
    lists = answer(200, {"lists": [{"listId": "7", "name": "Customers", "objectTypeId": "0-1"}], "hasMore": False})

    async with HUBSPOT.open(SETTINGS, FakeHttp(SCHEMAS, lists)) as hubspot:
        [found] = await hubspot.lists()  # type: ignore[attr-defined]  # has it by its manifest

    assert (found.name, found.label, sorted(found.modes)) == ("list:7", "Customers", ["delete", "mirror", "upsert"])


@pytest.mark.parametrize(
    ("object_name", "group"), [("contacts", "contactinformation"), ("p77_car", "p77_car_information")]
)
async def test_property_is_made_once_as_the_client_would(object_name: str, group: str) -> None:
    portal, field = Portal(), NewField("since", "Since", FieldKind.DATE)

    made = [await ensure(portal, object_name, field), await ensure(portal, object_name, field)]

    [request] = portal.posts
    body = orjson.loads(request.body)
    assert made == ["since:date", "since:date"]
    assert request.url == f"https://api.hubapi.com/crm/v3/properties/{object_name}"
    assert body == SINCE | {"fieldType": "date", "groupName": group}
    jsonschema.validate(body, schema_of(SDK, "hubspot/crm/properties/models", "PropertyCreate"))


async def test_property_that_somebody_else_made_meanwhile_is_taken() -> None:
    portal = Portal(answer(409, {"category": "CONFLICT"}), meanwhile=[SINCE])

    assert await ensure(portal, "contacts", NewField("since", "Since", FieldKind.DATE)) == "since:date"


async def test_property_that_does_not_show_is_an_outage() -> None:
    portal = Portal(answer(409, {"category": "CONFLICT"}))

    with pytest.raises(DestinationUnavailable, match="does not show it yet"):
        await ensure(portal, "contacts", NewField("since", "Since", FieldKind.DATE))


@pytest.mark.parametrize(
    ("field", "made", "told"),
    [
        (NewField("Since When", "", FieldKind.DATE), None, "cannot be named"),
        (NewField("tags", "", FieldKind.LIST), None, "cannot hold list; it can hold date"),
        (NewField("since", "", FieldKind.DATE), answer(400, {"message": "no such group"}), "no such group"),
    ],
)
async def test_property_that_cannot_be_made_is_refused(field: NewField, made: Answer | None, told: str) -> None:
    with pytest.raises(DestinationInvalid, match=told):
        await ensure(Portal(made), "contacts", field)


async def test_lost_answer_is_an_outage() -> None:
    with pytest.raises(DestinationUnavailable):
        await ensure(Portal(InDoubt("lost")), "contacts", NewField("since", "", FieldKind.DATE))


async def test_list_takes_no_property() -> None:
    portal = Portal()
    portal.then(answer(200, {"lists": [{"listId": "7", "objectTypeId": "0-1"}], "hasMore": False, "results": []}))

    with pytest.raises(DestinationInvalid, match="no field can be made"):
        await ensure(portal, "list:7", NewField("since", "", FieldKind.DATE))


@pytest.mark.parametrize("operation", [Operation.UPSERT, Operation.DELETE])
async def test_members_are_sent_as_the_client_would(operation: Operation) -> None:
    calls = requests_of(SDK, "hubspot/crm/lists/api/memberships_api.py")
    family = MANIFEST.family_of("list:7")
    async with staged(family, operation) as stage:
        stage.answer(3)

        await stage.send(3)

    [request] = stage.vendor.writes
    path = LISTS.operations[operation].path.replace("{object}", "{listId}")
    assert (request.method, path) in calls
    assert orjson.loads(request.body) == ["id-key-0", "id-key-1", "id-key-2"]


def test_search_for_lists_is_one_that_the_client_would_make() -> None:
    schema = schema_of(SDK, "hubspot/crm/lists/models", "ListSearchRequest")
    listing = LISTS.objects.listing

    assert listing is not None
    assert ("POST", listing.path) in requests_of(SDK, "hubspot/crm/lists/api/lists_api.py")
    assert {listing.cursor, *(listing.body or {})} <= schema["properties"].keys()
