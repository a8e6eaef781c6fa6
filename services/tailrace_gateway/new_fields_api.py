"""Management: a field that an object of a destination does not have yet."""

from typing import Annotated

from pydantic import Field

from tailrace.connector_kit.capabilities import NewField
from tailrace.connector_kit.field_kinds import FieldKind
from tailrace.core.names import Name
from tailrace.store.connections import ConnectionKind
from tailrace.store.database import Connection
from tailrace.store.tokens import Role
from tailrace_gateway.answers import ObjectField
from tailrace_gateway.calls import Answer, Call, Change, Route
from tailrace_gateway.envelopes import One
from tailrace_gateway.models import Body, NoQuery
from tailrace_gateway.planasonix_destinations import field_item
from tailrace_gateway.recording import in_transaction
from tailrace_gateway.repeats import once_outside
from tailrace_gateway.wire import one


class EnsureField(Body):
    """The field that an object shall have; without a label, the name is one."""

    object_name: Name
    name: Name
    label: Annotated[str, Field(max_length=256)] = ""
    kind: FieldKind


async def ensure_field(call: Call[EnsureField, NoQuery]) -> Answer:
    """Make a field at the destination if it is not there; one that is there stays as it is, and is the answer.

    For destinations that can, `new_fields` among the capabilities of their connector. What a field may be called and
    hold is up to the destination, which says so.
    """
    body, stored = call.body, await call.connection(ConnectionKind.DESTINATION)

    async def act() -> Answer:
        wanted = NewField(body.name, body.label, body.kind)
        made = field_item(await call.stores.discovery.ensure_field(stored, body.object_name, wanted))

        async def keep(_: Connection) -> Answer:
            told = {"objectName": body.object_name, "field": made["id"], "kind": body.kind}
            return Answer(one(made), change=Change(stored.id, None, told))

        return await in_transaction(call, keep)

    return await once_outside(call, act)


NEW_FIELDS = (
    Route(
        "POST",
        "/api/destinations/{connection_id}/fields",
        Role.ADMIN,
        ensure_field,
        "Have a field at a destination",
        operation_id="ensureField",
        answer=One[ObjectField],
        errors=(424,),
        body=EnsureField,
    ),
)
