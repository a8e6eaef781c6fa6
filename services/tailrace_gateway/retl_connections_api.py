"""RudderStack's contract: connections, which are syncs of ours, defined."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tailrace.core.ids import SyncId
from tailrace.core.syncs import SyncDefinition
from tailrace.store.connections import ConnectionKind
from tailrace.store.database import Connection
from tailrace.store.sync_links import LinkedSync, LinkFilter, SyncLink
from tailrace.store.syncs import NewSync, SyncChange
from tailrace.store.tokens import Role
from tailrace_gateway.calls import V2, Answer, AnyCall, Call, Change, Route
from tailrace_gateway.models import NoBody, NoQuery
from tailrace_gateway.paging import NumberedPage
from tailrace_gateway.problems import Unprocessable
from tailrace_gateway.recording import in_transaction
from tailrace_gateway.repeats import once_in_store
from tailrace_gateway.retl_answers import ExternalIdAnswer, RetlConnection, RetlConnections, connection_view, event_of
from tailrace_gateway.retl_bodies import (
    CreateRetlConnection,
    Event,
    RetlConnectionsQuery,
    SetExternalId,
    SyncSettings,
    UpdateRetlConnection,
)
from tailrace_gateway.retl_definitions import (
    changed_definition,
    definition_of,
    read_by,
    schedule_of,
)
from tailrace_gateway.retl_mappings import in_body
from tailrace_gateway.starts import forget_repeat, stop
from tailrace_gateway.stores import Stores

REACH = 100_000
"""So many connections back can be paged to."""

_CONNECTIONS = "/retl-connections"
_CONNECTION = f"{_CONNECTIONS}/{{connection_id}}"
_NAME_LIMIT = 256


async def create_connection(call: Call[CreateRetlConnection, NoQuery]) -> Answer:
    """A new connection; its object is checked against the destination where that answers in time."""
    body, workspace_id = call.body, call.identity.workspace_id
    model = await call.stores.models.get(workspace_id, body.source_id)
    destination = await call.stores.connections.get(workspace_id, body.destination_id, kind=ConnectionKind.DESTINATION)
    definition = definition_of(body, model)
    await _require_target(call, definition, body.event)
    name = (body.external_id or f"{model.name} to {destination.name}")[:_NAME_LIMIT]
    new = NewSync(workspace_id, name, definition, schedule_of(body.schedule), enabled=body.enabled and model.enabled)
    link = SyncLink(
        model_id=model.id,
        external_id=body.external_id or None,
        paused_with_model=body.enabled and not model.enabled,
        said=_said(body),
    )

    async def act(stores: Stores) -> Answer:
        held = await stores.models.hold(workspace_id, model.id)
        sync = await stores.syncs.create(replace(new, definition=read_by(definition, held)))
        await stores.sync_links.save(workspace_id, sync.id, link)
        shown = connection_view((sync, link))
        return Answer(shown, change=Change(sync.id, None, shown))

    return await once_in_store(call, act)


async def list_connections(call: Call[NoBody, RetlConnectionsQuery]) -> Answer:
    """The workspace's connections, oldest first."""
    query, workspace_id = call.query, call.identity.workspace_id
    page = NumberedPage(query.page, query.page_size, REACH)
    wanted = LinkFilter(query.source_id, query.destination_id, query.has_external_id)
    total = await call.stores.sync_links.count(workspace_id, wanted)
    paging = page.paging(call.url, total, or_narrow="sourceId or destinationId")
    found: Sequence[LinkedSync] = ()
    if page.offset < total:
        found = await call.stores.sync_links.list(workspace_id, wanted, offset=page.offset, limit=page.size)
    return Answer({"data": [connection_view(linked) for linked in found], "paging": paging})


async def get_connection(call: Call[NoBody, NoQuery]) -> Answer:
    """One connection."""
    return Answer(connection_view(await _linked(call.stores, call)))


async def update_connection(call: Call[UpdateRetlConnection, NoQuery]) -> Answer:
    """Change what the body names. Runs under way keep the definition that they started with."""
    body, workspace_id = call.body, call.identity.workspace_id
    seen = await _linked(call.stores, call)
    event = event_of(seen)
    await _require_target(call, changed_definition(body, seen[0].definition, event), event)

    async def act(connection: Connection) -> Answer:
        stores = call.stores.within(connection)
        before = await _linked(stores, call)
        old, link = before
        link = replace(link, said={**link.said, **_settings(body.sync_settings, link.said)})
        if body.enabled is not None:
            link = replace(link, paused_with_model=body.enabled and await _is_held(stores, call, link))
        change = SyncChange(
            definition=changed_definition(body, old.definition, event),
            schedule=schedule_of(body.schedule, old.schedule),
            enabled=None if body.enabled is None else body.enabled and not link.paused_with_model,
        )
        sync = await stores.syncs.update(workspace_id, old.id, change)
        await stores.sync_links.save(workspace_id, sync.id, link)
        shown = connection_view((sync, link))
        return Answer(shown, change=Change(sync.id, connection_view(before), shown))

    return await in_transaction(call, act)


async def delete_connection(call: Call[NoBody, NoQuery]) -> Answer:
    """Delete a connection and cancel its sync; what ran can still be read under /api/runs."""
    identity, sync_id = call.identity, SyncId(call.path["connection_id"])

    async def act(connection: Connection) -> Answer:
        stores = call.stores.within(connection)
        shown = connection_view(await _linked(stores, call))
        await stores.syncs.delete(connection, identity.workspace_id, sync_id)
        await stop(stores, connection, identity, sync_id)
        return Answer(None, 204, change=Change(sync_id, shown, None))

    answer = await in_transaction(call, act)
    await forget_repeat(call.stores, identity, sync_id)
    return answer


async def set_connection_external_id(call: Call[SetExternalId, NoQuery]) -> Answer:
    """Say what the owner outside calls the connection."""

    async def act(connection: Connection) -> Answer:
        stores = call.stores.within(connection)
        sync, old = await _linked(stores, call)
        link = replace(old, external_id=call.body.external_id or None)
        await stores.sync_links.save(sync.workspace_id, sync.id, link)
        after = {"externalId": link.external_id}
        return Answer({"id": sync.id, **after}, change=Change(sync.id, {"externalId": old.external_id}, after))

    return await in_transaction(call, act)


RETL_CONNECTIONS = (
    Route(
        "POST",
        _CONNECTIONS,
        Role.EDITOR,
        create_connection,
        "Create a connection",
        operation_id="createRetlConnection",
        answer=RetlConnection,
        body=CreateRetlConnection,
        prefixes=V2,
    ),
    Route(
        "GET",
        _CONNECTIONS,
        Role.VIEWER,
        list_connections,
        "List connections",
        operation_id="listRetlConnections",
        answer=RetlConnections,
        query=RetlConnectionsQuery,
        prefixes=V2,
    ),
    Route(
        "GET",
        _CONNECTION,
        Role.VIEWER,
        get_connection,
        "Get a connection",
        operation_id="getRetlConnection",
        answer=RetlConnection,
        prefixes=V2,
    ),
    Route(
        "PUT",
        _CONNECTION,
        Role.EDITOR,
        update_connection,
        "Update a connection",
        operation_id="updateRetlConnection",
        answer=RetlConnection,
        body=UpdateRetlConnection,
        prefixes=V2,
    ),
    Route(
        "DELETE",
        _CONNECTION,
        Role.EDITOR,
        delete_connection,
        "Delete a connection",
        operation_id="deleteRetlConnection",
        answer=None,
        status=204,
        prefixes=V2,
    ),
    Route(
        "PUT",
        f"{_CONNECTION}/external-id",
        Role.EDITOR,
        set_connection_external_id,
        "Say what the owner of a connection calls it",
        operation_id="setRetlConnectionExternalId",
        answer=ExternalIdAnswer,
        body=SetExternalId,
        prefixes=V2,
    ),
)


async def _linked(stores: Stores, call: AnyCall) -> LinkedSync:
    return await stores.sync_links.get(call.identity.workspace_id, call.path["connection_id"])


async def _is_held(stores: Stores, call: AnyCall, link: SyncLink) -> bool:
    """Whether the connection's source is switched off."""
    if link.model_id is None:
        return False
    return not (await stores.models.hold(call.identity.workspace_id, link.model_id)).enabled


async def _require_target(call: AnyCall, definition: SyncDefinition, event: Event | None) -> None:
    try:
        await call.stores.discovery.require_target(call.identity.workspace_id, definition)
    except Unprocessable as error:
        raise in_body(error, definition.field_mappings, event) from None


def _said(body: CreateRetlConnection) -> Mapping[str, Any]:
    event = {} if body.event is None else {"event": body.event.model_dump(by_alias=True, exclude_none=True)}
    cursor = {"cursorColumn": body.cursor_column} if body.cursor_column else {}
    return {**event, **cursor, **_settings(body.sync_settings, {})}


def _settings(settings: SyncSettings | None, said: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is said of settings now, beside those said before."""
    if settings is None:
        return {}
    return {"syncSettings": said.get("syncSettings", {}) | settings.model_dump(by_alias=True, exclude_none=True)}
