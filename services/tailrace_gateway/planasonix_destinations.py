"""The Planasonix contract: destinations, their objects and fields."""

from typing import Annotated

from pydantic import Field

from tailrace.connector_kit import registry
from tailrace.connector_kit.destination import Field as ObjectField
from tailrace.connector_kit.destination import Object
from tailrace.core.errors import Invalid
from tailrace.core.syncs import SyncMode
from tailrace.store.connections import ConnectionKind, StoredConnection
from tailrace_gateway.calls import Answer, Call
from tailrace_gateway.connection_views import status_of
from tailrace_gateway.models import NoBody, Query
from tailrace_gateway.sync_bodies import Id, Name
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


async def list_destinations(call: Call[NoBody, DestinationsQuery]) -> Answer:
    """The workspace's destinations, oldest first."""
    found = await call.stores.connections.list(
        call.identity.workspace_id, ConnectionKind.DESTINATION, connector=call.query.connector
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
    return Answer({"data": [_field(each) for each in found]})


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
    }
    return item("destination_object", found.name, attributes)


def _field(found: ObjectField) -> Item:
    attributes = {
        "label": found.label,
        "data_type": found.data_type,
        "required": found.required,
        "updateable": found.updateable,
        "external_id": found.external_id,
    }
    return item("destination_field", found.name, attributes)
