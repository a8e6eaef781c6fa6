"""Management: sources and destinations. The same operations for both; only destinations have limits."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

from pydantic import Field

from tailrace.core.errors import InDoubt, Invalid, Unavailable
from tailrace.core.names import Name
from tailrace.store.connections import ConnectionDraft, ConnectionKind, StoredConnection
from tailrace.store.database import Connection
from tailrace_gateway.calls import Answer, AnyCall, Call, Change, Handler
from tailrace_gateway.conditions import replaced, tag, unless_overtaken
from tailrace_gateway.connection_views import CONNECTED, FAILING, connection_item
from tailrace_gateway.connector_settings import (
    part,
    require_same_address,
    require_tls,
    secrets_in,
    settings_type_of,
)
from tailrace_gateway.listings import paged
from tailrace_gateway.models import Body, NoBody, NoQuery
from tailrace_gateway.paging import PagedQuery
from tailrace_gateway.problems import Fault, Unprocessable
from tailrace_gateway.recording import in_transaction
from tailrace_gateway.repeats import once_in_store, once_outside
from tailrace_gateway.stores import Stores
from tailrace_gateway.wire import item, one, seconds

RequestsPerSecond = Annotated[float, Field(gt=0, le=1_000_000, strict=False)]
MaxInFlight = Annotated[int, Field(ge=1, le=10_000)]
ConnectorName = Annotated[str, Field(min_length=1, max_length=64)]


class CreateSource(Body):
    """A new source: a warehouse that queries run in."""

    name: Name
    connector: ConnectorName
    settings: dict[str, Any]


class UpdateSource(Body):
    """What is to change of a source. `settings` replace the old ones; `***` keeps the secret of its place.

    Where an address among the settings changes, every secret has to be given again.
    """

    name: Name | None = None
    settings: dict[str, Any] | None = None


class CreateDestination(CreateSource):
    """A new destination, and how fast it may be written to by all syncs together."""

    requests_per_second: RequestsPerSecond | None = None
    max_in_flight: MaxInFlight | None = None


class UpdateDestination(UpdateSource):
    """What is to change of a destination; a limit of null is no limit."""

    requests_per_second: RequestsPerSecond | None = None
    max_in_flight: MaxInFlight | None = None


class ConnectionsQuery(PagedQuery):
    """Which sources or destinations to list."""

    connector: ConnectorName | None = None


def create(kind: ConnectionKind) -> Handler:
    """Makes a source or destination; nothing is connected to."""

    async def handle(call: Call[CreateSource, NoQuery]) -> Answer:
        body = call.body
        parted = part(settings_type_of(kind, body.connector), body.settings, {})
        _require_tls(call, kind, {}, body.settings)
        draft = ConnectionDraft(body.name, parted.shown, parted.secrets, (), *_limits(body, None))

        async def act(stores: Stores) -> Answer:
            stored = await stores.connections.create(call.identity.workspace_id, kind, body.connector, draft)
            shown = connection_item(stored)
            return Answer(one(shown), 201, tag(stored.updated_at), Change(stored.id, None, shown["attributes"]))

        return await once_in_store(call, act)

    return handle


def list_all(kind: ConnectionKind) -> Handler:
    """Lists sources or destinations, oldest first."""

    async def handle(call: Call[NoBody, ConnectionsQuery]) -> Answer:
        connections, workspace_id = call.stores.connections, call.identity.workspace_id
        find = partial(connections.list, workspace_id, kind, connector=call.query.connector)
        return Answer(
            await paged(call, kind, find, place=lambda each: (each.created_at, each.id), shown=connection_item)
        )

    return handle


def get(kind: ConnectionKind) -> Handler:
    """Shows one, without its secrets."""

    async def handle(call: Call[NoBody, NoQuery]) -> Answer:
        stored = await call.connection(kind)
        return Answer(one(connection_item(stored)), headers=tag(stored.updated_at))

    return handle


def update(kind: ConnectionKind) -> Handler:
    """Changes one. Runs under way keep the settings that they opened with."""

    async def handle(call: Call[UpdateSource, NoQuery]) -> Answer:
        return await unless_overtaken(call, lambda: _update(call, kind))

    return handle


def delete(kind: ConnectionKind) -> Handler:
    """Deletes one that no sync uses; its secrets are gone at once."""

    async def handle(call: Call[NoBody, NoQuery]) -> Answer:
        connection_id, workspace_id = call.path["connection_id"], call.identity.workspace_id

        async def act(connection: Connection) -> Answer:
            connections = call.stores.within(connection).connections
            old = await connections.get(workspace_id, connection_id, kind=kind)
            moment = await connections.delete(workspace_id, kind, connection_id, only_if=call.only_if)
            deleted = item(kind, connection_id, {"deleted": True, "deleted_at": seconds(moment)})
            return Answer(one(deleted), change=Change(old.id, connection_item(old)["attributes"], None))

        return await in_transaction(call, act)

    return handle


def test(kind: ConnectionKind) -> Handler:
    """Tries to connect, without writing; the answer tells what is wrong and what to do about it."""

    async def handle(call: Call[NoBody, NoQuery]) -> Answer:
        stored = await call.connection(kind)
        return await once_outside(call, lambda: _tested(call, stored))

    return handle


async def _update(call: Call[UpdateSource, NoQuery], kind: ConnectionKind) -> Answer:
    body, connections = call.body, call.stores.connections
    if "settings" in body.model_fields_set and body.settings is None:
        raise Unprocessable([Fault("/settings", "null", "leave it out to keep the settings")])
    old = await call.connection(kind)
    _, whole = await connections.open_settings(old.id)
    known = secrets_in(old.settings, whole)
    given = old.settings if body.settings is None else body.settings
    require_same_address(whole, given, known)
    parted = part(settings_type_of(kind, old.connector), given, known)
    _require_tls(call, kind, whole, given)
    limits = _limits(body, old)
    draft = ConnectionDraft(
        body.name or old.name, parted.shown, parted.secrets, parted.kept, *limits, replaced(call, old.updated_at)
    )

    async def act(connection: Connection) -> Answer:
        inner = call.stores.within(connection).connections
        stored = await inner.update(call.identity.workspace_id, kind, old.id, draft)
        shown = connection_item(stored)
        change = Change(old.id, connection_item(old)["attributes"], shown["attributes"])
        return Answer(one(shown), headers=tag(stored.updated_at), change=change)

    return await in_transaction(call, act)


def _require_tls(call: AnyCall, kind: ConnectionKind, before: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    if kind is ConnectionKind.DESTINATION and not call.stores.speaks_plain_http:
        require_tls(before, given)


async def _tested(call: AnyCall, stored: StoredConnection) -> Answer:
    code, message = None, None
    try:
        await call.stores.discovery.check(stored)
    except (Invalid, Unavailable, InDoubt) as error:
        code, message = error.code, error.message
    attributes = {"status": CONNECTED if code is None else FAILING, "code": code, "message": message}

    async def act(connection: Connection) -> Answer:
        await call.stores.within(connection).connections.note_check(stored.id, code)
        change = Change(stored.id, None, {"status": attributes["status"], "code": code})
        return Answer(one(item("connection_test", stored.id, attributes)), change=change)

    return await in_transaction(call, act)


def _limits(body: Body, old: StoredConnection | None) -> tuple[float | None, int | None]:
    """The limits that the body sets; those that it does not name stay."""
    said = body.model_dump(include={"requests_per_second", "max_in_flight"}, exclude_unset=True)
    before = (None, None) if old is None else (old.requests_per_s, old.max_in_flight)
    return said.get("requests_per_second", before[0]), said.get("max_in_flight", before[1])
