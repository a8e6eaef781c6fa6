"""RudderStack's contract: sources, which are models of ours. Its accounts are our sources."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tailrace.store.connections import ConnectionKind, StoredConnection
from tailrace.store.database import Connection
from tailrace.store.models import Model, ModelDraft, ModelFilter, ModelKind
from tailrace.store.sync_links import LinkedSync
from tailrace.store.syncs import SyncChange
from tailrace.store.tokens import Role
from tailrace_gateway.calls import V2, Answer, AnyCall, Call, Change, Route
from tailrace_gateway.models import NoBody, NoQuery
from tailrace_gateway.problems import Fault, Unprocessable
from tailrace_gateway.recording import in_transaction
from tailrace_gateway.repeats import once_in_store
from tailrace_gateway.retl_answers import ExternalIdAnswer, RetlSource, RetlSources, source_view
from tailrace_gateway.retl_bodies import (
    AnyConfig,
    CreateRetlSource,
    QueryConfig,
    RetlSourcesQuery,
    SetExternalId,
    UpdateRetlSource,
)
from tailrace_gateway.retl_definitions import query_of, read_by
from tailrace_gateway.stores import Stores

MOST = 10_000
"""So many sources are listed; the contract has no pages of them."""

_SOURCES = "/retl-sources"
_SOURCE = f"{_SOURCES}/{{source_id}}"


async def create_source(call: Call[CreateRetlSource, NoQuery]) -> Answer:
    """A new source. Its query is not run: a preview does that."""
    body, workspace_id = call.body, call.identity.workspace_id
    account = await _account(call, body.account_id)
    if body.source_definition_name != account.connector:
        raise Unprocessable([Fault("/sourceDefinitionName", "connector", f"this account is {account.connector}")])
    kind = ModelKind(body.source_type)
    config = _config(body.config, kind)
    draft = ModelDraft(account.id, body.name, config, query_of(body.config, account.connector), body.enabled)

    async def act(stores: Stores) -> Answer:
        model = await stores.models.create(workspace_id, kind, draft, external_id=body.external_id or None)
        shown = source_view(model, account.connector)
        return Answer(shown, change=Change(model.id, None, shown))

    return await once_in_store(call, act)


async def list_sources(call: Call[NoBody, RetlSourcesQuery]) -> Answer:
    """The workspace's sources, oldest first."""
    query, workspace_id = call.query, call.identity.workspace_id
    kind = None if query.source_type is None else ModelKind(query.source_type)
    models = await call.stores.models.list(workspace_id, ModelFilter(kind, query.has_external_id), limit=MOST)
    accounts = await call.stores.connections.list(workspace_id, ConnectionKind.SOURCE, limit=MOST)
    connectors: Mapping[str, str] = {account.id: account.connector for account in accounts}
    return Answer({"data": [source_view(model, connectors.get(model.source_id, "")) for model in models]})


async def get_source(call: Call[NoBody, NoQuery]) -> Answer:
    """One source."""
    return Answer(await _shown(call, await _model(call)))


async def update_source(call: Call[UpdateRetlSource, NoQuery]) -> Answer:
    """Change what the body names. Its connections have the change from their next run on, and pause with it."""
    body, workspace_id, old = call.body, call.identity.workspace_id, await _model(call)
    account = await _account(call, body.account_id or old.source_id)
    if account.id != old.source_id and account.connector != (await _account(call, old.source_id)).connector:
        raise Unprocessable([Fault("/accountId", "connector", "must be an account of the same kind as before")])
    draft = ModelDraft(account.id, old.name, old.config, old.query, old.enabled)
    if body.config is not None:
        config = _config(body.config, old.kind)
        draft = replace(draft, config=config, query=query_of(body.config, account.connector))
    draft = replace(draft, name=body.name or old.name, enabled=old.enabled if body.enabled is None else body.enabled)

    async def act(connection: Connection) -> Answer:
        stores = call.stores.within(connection)
        model = await stores.models.update(workspace_id, old.id, draft)
        for linked in await stores.sync_links.of_model(model.id):
            await _carry_over(stores, model, linked)
        shown = source_view(model, account.connector)
        return Answer(shown, change=Change(model.id, source_view(old, account.connector), shown))

    return await in_transaction(call, act)


async def delete_source(call: Call[NoBody, NoQuery]) -> Answer:
    """Delete a source that no connection reads."""
    shown = await _shown(call, await _model(call))

    async def act(connection: Connection) -> Answer:
        await call.stores.within(connection).models.delete(call.identity.workspace_id, shown["id"])
        return Answer(None, 204, change=Change(shown["id"], shown, None))

    return await in_transaction(call, act)


async def set_source_external_id(call: Call[SetExternalId, NoQuery]) -> Answer:
    """Say what the owner outside calls the source."""
    old, external_id = await _model(call), call.body.external_id or None

    async def act(connection: Connection) -> Answer:
        models = call.stores.within(connection).models
        await models.set_external_id(old.workspace_id, old.id, external_id)
        after = {"externalId": external_id}
        return Answer({"id": old.id, **after}, change=Change(old.id, {"externalId": old.external_id}, after))

    return await in_transaction(call, act)


RETL_SOURCES = (
    Route(
        "POST",
        _SOURCES,
        Role.EDITOR,
        create_source,
        "Create a source of connections",
        operation_id="createRetlSource",
        answer=RetlSource,
        body=CreateRetlSource,
        prefixes=V2,
    ),
    Route(
        "GET",
        _SOURCES,
        Role.VIEWER,
        list_sources,
        "List sources of connections",
        operation_id="listRetlSources",
        answer=RetlSources,
        query=RetlSourcesQuery,
        prefixes=V2,
    ),
    Route(
        "GET",
        _SOURCE,
        Role.VIEWER,
        get_source,
        "Get a source of connections",
        operation_id="getRetlSource",
        answer=RetlSource,
        prefixes=V2,
    ),
    Route(
        "PUT",
        _SOURCE,
        Role.EDITOR,
        update_source,
        "Update a source of connections",
        operation_id="updateRetlSource",
        answer=RetlSource,
        body=UpdateRetlSource,
        prefixes=V2,
    ),
    Route(
        "DELETE",
        _SOURCE,
        Role.EDITOR,
        delete_source,
        "Delete a source of connections",
        operation_id="deleteRetlSource",
        answer=None,
        status=204,
        prefixes=V2,
        errors=(409,),
    ),
    Route(
        "PUT",
        f"{_SOURCE}/external-id",
        Role.EDITOR,
        set_source_external_id,
        "Say what the owner of a source calls it",
        operation_id="setRetlSourceExternalId",
        answer=ExternalIdAnswer,
        body=SetExternalId,
        prefixes=V2,
    ),
)


async def _carry_over(stores: Stores, model: Model, linked: LinkedSync) -> None:
    """What a change of the model means for a sync of it: what it reads, and whether it stands still."""
    sync, link = linked
    pauses, goes_on = sync.enabled and not model.enabled, link.paused_with_model and model.enabled
    change = SyncChange(
        definition=read_by(sync.definition, model), enabled=goes_on if pauses or goes_on else sync.enabled
    )
    await stores.syncs.update(sync.workspace_id, sync.id, change)
    if pauses or goes_on:
        await stores.sync_links.save(sync.workspace_id, sync.id, replace(link, paused_with_model=pauses))


async def _model(call: AnyCall) -> Model:
    return await call.stores.models.get(call.identity.workspace_id, call.path["source_id"])


async def _account(call: AnyCall, account_id: str) -> StoredConnection:
    return await call.stores.connections.get(call.identity.workspace_id, account_id, kind=ConnectionKind.SOURCE)


async def _shown(call: AnyCall, model: Model) -> dict[str, Any]:
    return source_view(model, (await _account(call, model.source_id)).connector)


def _config(config: AnyConfig, kind: ModelKind) -> dict[str, Any]:
    if isinstance(config, QueryConfig) != (kind is ModelKind.MODEL):
        wanted = "sql" if kind is ModelKind.MODEL else "schema and table"
        raise Unprocessable([Fault("/config", "config", f"a {kind} has {wanted}")])
    return config.model_dump(by_alias=True, exclude_none=True)
