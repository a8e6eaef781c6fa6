"""Management: the catalogue of connectors."""

from tailrace.connector_kit import registry
from tailrace.connector_kit.registry import Entry
from tailrace.store.connections import ConnectionKind
from tailrace.store.tokens import Role
from tailrace_gateway.answers import Connector
from tailrace_gateway.calls import Answer, Call, Route
from tailrace_gateway.envelopes import Many
from tailrace_gateway.models import NoBody, NoQuery
from tailrace_gateway.wire import Item, item


async def list_connectors(_call: Call[NoBody, NoQuery]) -> Answer:
    """Every connector that can be used here, with the JSON Schema of its settings."""
    return Answer({"data": [_entry(each) for each in registry.catalogue()]})


CONNECTORS = (
    Route(
        "GET",
        "/api/connectors",
        Role.VIEWER,
        list_connectors,
        "List connectors",
        operation_id="listConnectors",
        answer=Many[Connector],
    ),
)


def _entry(found: Entry) -> Item:
    kind = ConnectionKind.DESTINATION if found.kind == "destination" else ConnectionKind.SOURCE
    attributes = {
        "kind": kind,
        "label": found.label,
        "level": found.level,
        "verified_against": found.verified_against,
        "settings_schema": dict(found.settings_schema),
        "secret_fields": sorted(found.secret_fields),
        "capabilities": sorted(found.capabilities),
    }
    return item("connector", found.name, attributes)
