"""The Planasonix contract: destinations, their objects and fields."""

from typing import Annotated

from pydantic import Field

from tailrace.connector_kit import registry
from tailrace.connector_kit.destination import Field as ObjectField
from tailrace.connector_kit.destination import Object
from tailrace.core.errors import Invalid
from tailrace.core.names import Name
from tailrace.core.syncs import SyncMode
from tailrace.mapping.suggestions import Suggestion, suggest
from tailrace.store.connections import ConnectionKind, StoredConnection
from tailrace.store.tokens import Role
from tailrace_gateway.accounts_api import MOST
from tailrace_gateway.answers import DestinationObject, MappingSuggestion, ReverseEtlDestination
from tailrace_gateway.answers import ObjectField as FieldAnswer
from tailrace_gateway.calls import Answer, Call, Route
from tailrace_gateway.connection_views import status_of
from tailrace_gateway.envelopes import Many
from tailrace_gateway.models import Body, NoBody, NoQuery, Query
from tailrace_gateway.repeats import once_outside
from tailrace_gateway.sync_bodies import Id, SourceQuery
from tailrace_gateway.wire import Item, item


class DestinationsQuery(Query):
    """Which destinations to list."""

    connector: Annotated[str, Field(max_length=64)] | None = None


class ObjectsQuery(Query):
    """Whose objects to list, and what their name or label holds."""

    destination_id: Id
    search: Annotated[str, Field(max_length=256)] = ""


class FieldsQuery(Query):
    """Which object's fields to list."""

    destination_id: Id
    object_name: Name


class SuggestMappings(Body):
    """Which query is to become which object."""

    source_id: Id
    source_query: SourceQuery
    destination_id: Id
    object_name: Name


async def list_destinations(call: Call[NoBody, DestinationsQuery]) -> Answer:
    """The workspace's destinations, oldest first."""
    found = await call.stores.connections.list(
        call.identity.workspace_id, ConnectionKind.DESTINATION, connector=call.query.connector, limit=MOST
    )
    return Answer({"data": [_destination(stored) for stored in found]})


async def list_objects(call: Call[NoBody, ObjectsQuery]) -> Answer:
    """The objects of a destination, asked from it, and remembered for a minute unless it is changed."""
    wanted = call.query.search.casefold()
    objects = await call.stores.discovery.objects(call.identity.workspace_id, call.query.destination_id)
    found = [each for each in objects if wanted in each.name.casefold() or wanted in each.label.casefold()]
    return Answer({"data": [_object(each) for each in found]})


async def list_fields(call: Call[NoBody, FieldsQuery]) -> Answer:
    """The fields of an object, asked from the destination like its objects; none where it takes any field."""
    query = call.query
    found = await call.stores.discovery.fields(call.identity.workspace_id, query.destination_id, query.object_name)
    return Answer({"data": [field_item(each) for each in found]})


async def suggest_mappings(call: Call[SuggestMappings, NoQuery]) -> Answer:
    """Columns of a query for the fields of an object, by how alike their names are and whether their kinds can fit.

    The source is asked for the columns alone: no row is read.
    """
    body, workspace_id, discovery = call.body, call.identity.workspace_id, call.stores.discovery

    async def act() -> Answer:
        fields = await discovery.fields(workspace_id, body.destination_id, body.object_name)
        columns = await discovery.columns(workspace_id, body.source_id, body.source_query)
        return Answer({"data": [_suggestion(each) for each in suggest(columns, fields)]})

    return await once_outside(call, act)


DISCOVERY = (
    Route(
        "GET",
        "/api/reverse-etl/destinations",
        Role.VIEWER,
        list_destinations,
        "List destinations",
        operation_id="listReverseEtlDestinations",
        answer=Many[ReverseEtlDestination],
        query=DestinationsQuery,
    ),
    Route(
        "GET",
        "/api/reverse-etl/objects",
        Role.VIEWER,
        list_objects,
        "List the objects of a destination",
        operation_id="listDestinationObjects",
        answer=Many[DestinationObject],
        errors=(424,),
        query=ObjectsQuery,
    ),
    Route(
        "GET",
        "/api/reverse-etl/fields",
        Role.VIEWER,
        list_fields,
        "List the fields of an object",
        operation_id="listObjectFields",
        answer=Many[FieldAnswer],
        errors=(424,),
        query=FieldsQuery,
    ),
    Route(
        "POST",
        "/api/reverse-etl/mapping-suggestions",
        Role.EDITOR,
        suggest_mappings,
        "Suggest which columns become which fields",
        operation_id="suggestMappings",
        answer=Many[MappingSuggestion],
        errors=(424,),
        body=SuggestMappings,
    ),
)


def field_item(found: ObjectField) -> Item:
    """A field as an item."""
    attributes = {
        "label": found.label,
        "data_type": found.data_type,
        "required": found.required,
        "updateable": found.updateable,
        "external_id": found.external_id,
    }
    return item("destination_field", found.name, attributes)


def _suggestion(found: Suggestion) -> Item:
    attributes = {
        "source": found.source,
        "destination": found.destination,
        "score": found.score,
        "converted": found.is_converted,
    }
    return item("mapping_suggestion", found.destination, attributes)


def _destination(stored: StoredConnection) -> Item:
    attributes = {
        "name": stored.name,
        "connector": stored.connector,
        "status": status_of(stored),
        "objects_discoverable": _is_discoverable(stored.connector),
    }
    return item("reverse_etl_destination", stored.id, attributes)


def _is_discoverable(connector: str) -> bool:
    """False also for a connector that is no longer installed."""
    try:
        return registry.destination_type(connector).objects_discoverable
    except Invalid:
        return False


def _object(found: Object) -> Item:
    attributes = {
        "label": found.label,
        "api_name": found.name,
        "supports_upsert": SyncMode.UPSERT in found.modes,
        "sync_modes": sorted(found.modes),
        "writable": found.writable,
        "has_members": found.has_members,
    }
    return item("destination_object", found.name, attributes)
