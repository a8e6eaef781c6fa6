"""The Planasonix contract: syncs."""

from functools import partial
from typing import Any

from tailrace.core.ids import SyncId
from tailrace.core.syncs import AnySchedule, FieldMapping, ManualSchedule, SyncDefinition
from tailrace.store.connections import ConnectionKind
from tailrace.store.database import Connection
from tailrace.store.runs import Run, RunFilter
from tailrace.store.syncs import NewSync, Sync, SyncChange, SyncFilter
from tailrace.store.tokens import Role
from tailrace_gateway.answers import DeletedSync, SyncBrief, ToggledSync
from tailrace_gateway.answers import Sync as SyncAnswer
from tailrace_gateway.calls import Answer, AnyCall, Call, Change, Route
from tailrace_gateway.conditions import replaced, tag, unless_overtaken
from tailrace_gateway.envelopes import One, Page
from tailrace_gateway.listings import paged
from tailrace_gateway.models import Body, NoBody, NoQuery
from tailrace_gateway.paging import PagedQuery
from tailrace_gateway.pauses import heed_model
from tailrace_gateway.problems import Fault, Unprocessable
from tailrace_gateway.recording import in_transaction
from tailrace_gateway.repeats import once_in_store
from tailrace_gateway.run_views import last_run
from tailrace_gateway.starts import forget_repeat, stop
from tailrace_gateway.stores import Stores
from tailrace_gateway.sync_bodies import CreateSync, Id, UpdateSync, definition_of, schedule_of
from tailrace_gateway.wire import Item, item, one, seconds

KIND = "reverse_etl_sync"

_SYNCS = "/api/reverse-etl/syncs"
_SYNC = f"{_SYNCS}/{{sync_id}}"


class SyncsQuery(PagedQuery):
    """Which syncs to list."""

    destination_id: Id | None = None
    enabled: bool | None = None


class ToggleSync(Body):
    """Pause a sync, or let it go on."""

    sync_id: Id
    enabled: bool


async def list_syncs(call: Call[NoBody, SyncsQuery]) -> Answer:
    """The workspace's syncs, oldest first."""
    query, workspace_id = call.query, call.identity.workspace_id
    if query.destination_id is not None:
        await call.stores.connections.get(workspace_id, query.destination_id, kind=ConnectionKind.DESTINATION)
    find = partial(call.stores.syncs.list, workspace_id, SyncFilter(query.destination_id, query.enabled))
    return Answer(await paged(call, "syncs", find, place=lambda sync: (sync.created_at, sync.id), shown=_brief))


async def create_sync(call: Call[CreateSync, NoQuery]) -> Answer:
    """A new sync; its mode and object are checked against the destination where that answers in time."""
    body, workspace_id = call.body, call.identity.workspace_id
    definition = definition_of(body, None, body.source_id or await _only_source(call))
    await call.stores.discovery.require_target(workspace_id, definition)
    schedule = schedule_of(body) or ManualSchedule()
    new = NewSync(workspace_id, body.name, definition, schedule, enabled=body.enabled)

    async def act(stores: Stores) -> Answer:
        sync = await stores.syncs.create(new)
        shown = _whole(sync, None)
        return Answer(one(shown), 201, tag(sync.updated_at), Change(sync.id, None, shown["attributes"]))

    return await once_in_store(call, act)


async def get_sync(call: Call[NoBody, NoQuery]) -> Answer:
    """One sync, how its last run stands, and how many of its rows wait as dead letters."""
    sync = await call.sync()
    return Answer(one(await _as_it_stands(call.stores, sync)), headers=tag(sync.updated_at))


async def update_sync(call: Call[UpdateSync, NoQuery]) -> Answer:
    """Change what the body names. Runs under way keep the definition that they started with."""
    return await unless_overtaken(call, lambda: _update(call))


async def _update(call: Call[UpdateSync, NoQuery]) -> Answer:
    body, workspace_id = call.body, call.identity.workspace_id
    old = await call.sync()
    definition = definition_of(body, old.definition, body.source_id or old.definition.source_id)
    if definition != old.definition:
        await _require_own(call, old, definition)
        await call.stores.discovery.require_target(workspace_id, definition)
    change = SyncChange(body.name, definition, schedule_of(body), body.enabled)

    async def act(connection: Connection) -> Answer:
        return await changed_sync(call, call.stores.within(connection), old, change)

    return await in_transaction(call, act)


async def changed_sync(call: AnyCall, stores: Stores, old: Sync, change: SyncChange) -> Answer:
    """The sync after a change to what it was, if that may be replaced.

    :raises Stale: it has changed since, or the caller has seen something else.
    """
    await heed_model(stores, old, enabled=change.enabled)
    sync = await stores.syncs.update(old.workspace_id, old.id, change, only_if=replaced(call, old.updated_at))
    deed = Change(sync.id, _whole(old, None)["attributes"], _whole(sync, None)["attributes"])
    return Answer(one(await _as_it_stands(stores, sync)), headers=tag(sync.updated_at), change=deed)


async def delete_sync(call: Call[NoBody, NoQuery]) -> Answer:
    """Delete a sync and cancel its run; runs and dead letters can still be read."""
    identity, sync_id = call.identity, SyncId(call.path["sync_id"])

    async def act(connection: Connection) -> Answer:
        stores = call.stores.within(connection)
        old = await stores.syncs.get(identity.workspace_id, sync_id)
        moment = await stores.syncs.delete(connection, identity.workspace_id, sync_id, only_if=call.only_if)
        await stop(stores, connection, identity, sync_id)
        deleted = item(KIND, sync_id, {"deleted": True, "deleted_at": seconds(moment)})
        return Answer(one(deleted), change=Change(sync_id, _whole(old, None)["attributes"], None))

    answer = await in_transaction(call, act)
    await forget_repeat(call.stores, identity, sync_id)
    return answer


async def toggle_sync(call: Call[ToggleSync, NoQuery]) -> Answer:
    """Pause a sync or let it go on; a run under way is not touched."""
    body = call.body

    async def act(stores: Stores) -> Answer:
        old = await stores.syncs.get(call.identity.workspace_id, body.sync_id)
        await heed_model(stores, old, enabled=body.enabled)
        sync = await stores.syncs.update(call.identity.workspace_id, body.sync_id, SyncChange(enabled=body.enabled))
        toggled = item(KIND, sync.id, {"enabled": sync.enabled, "updated_at": seconds(sync.updated_at)})
        return Answer(one(toggled), change=Change(sync.id, {"enabled": old.enabled}, {"enabled": sync.enabled}))

    return await once_in_store(call, act)


SYNCS = (
    Route(
        "GET",
        _SYNCS,
        Role.VIEWER,
        list_syncs,
        "List syncs",
        operation_id="listSyncs",
        answer=Page[SyncBrief],
        query=SyncsQuery,
    ),
    Route(
        "POST",
        _SYNCS,
        Role.EDITOR,
        create_sync,
        "Create a sync",
        operation_id="createSync",
        answer=One[SyncAnswer],
        body=CreateSync,
        status=201,
        tells_tag=True,
    ),
    Route(
        "GET",
        _SYNC,
        Role.VIEWER,
        get_sync,
        "Get a sync",
        operation_id="getSync",
        answer=One[SyncAnswer],
        tells_tag=True,
    ),
    Route(
        "PUT",
        _SYNC,
        Role.EDITOR,
        update_sync,
        "Update a sync",
        operation_id="updateSync",
        answer=One[SyncAnswer],
        body=UpdateSync,
        tells_tag=True,
        heeds_tag=True,
    ),
    Route(
        "DELETE",
        _SYNC,
        Role.EDITOR,
        delete_sync,
        "Delete a sync",
        operation_id="deleteSync",
        answer=One[DeletedSync],
        heeds_tag=True,
    ),
    Route(
        "POST",
        "/api/reverse-etl/sync/toggle",
        Role.EDITOR,
        toggle_sync,
        "Pause a sync or let it go on",
        operation_id="toggleSync",
        answer=One[ToggledSync],
        body=ToggleSync,
    ),
)


async def _require_own(call: AnyCall, old: Sync, new: SyncDefinition) -> None:
    """What a sync reads is its own to change, unless it reads a model that others may read too."""
    if (new.source_id, new.source_query) == (old.definition.source_id, old.definition.source_query):
        return
    _, link = await call.stores.sync_links.get(old.workspace_id, old.id)
    if link.model_id is not None:
        detail = f"this sync reads a model: change it for all that read it by PUT /v2/retl-sources/{link.model_id}"
        raise Unprocessable([Fault("/sourceQuery", "model", detail)])


async def _only_source(call: Call[CreateSync, NoQuery]) -> str:
    sources = await call.stores.connections.list(call.identity.workspace_id, ConnectionKind.SOURCE, limit=2)
    match sources:
        case [source]:
            return source.id
        case []:
            detail = "this workspace has no source yet; create one first (POST /api/sources)"
        case _:
            detail = "this workspace has several sources; say which one (GET /api/sources lists them)"
    raise Unprocessable([Fault("/sourceId", "missing", detail)])


def _brief(sync: Sync) -> Item:
    definition = sync.definition
    attributes = {
        "name": sync.name,
        "source_id": definition.source_id,
        "destination_id": definition.destination_id,
        "object_name": definition.object_name,
        "sync_mode": definition.sync_mode,
        "enabled": sync.enabled,
        "schedule": _schedule(sync.schedule),
        "next_run_at": seconds(sync.next_run_at),
        "created_at": seconds(sync.created_at),
        "updated_at": seconds(sync.updated_at),
    }
    return item(KIND, sync.id, attributes)


async def _as_it_stands(stores: Stores, sync: Sync) -> Item:
    runs = await stores.runs.list(sync.workspace_id, RunFilter(sync_id=sync.id), limit=1)
    return _whole(sync, runs[0] if runs else None, await stores.dead_letters.open_count(sync.id))


def _whole(sync: Sync, last: Run | None, open_letters: int = 0) -> Item:
    brief = _brief(sync)
    brief["attributes"] |= {
        "version": sync.version,
        "source_query": sync.definition.source_query,
        "field_mappings": [_mapping(mapping) for mapping in sync.definition.field_mappings],
        "reading": sync.definition.reading.model_dump(),
        "max_delete_ratio": sync.definition.max_delete_ratio,
        "delivery": sync.definition.delivery.model_dump(mode="json"),
        "on_type_mismatch": sync.definition.on_type_mismatch,
        "last_run": None if last is None else last_run(last),
        "open_dead_letters": open_letters,
    }
    return brief


def _mapping(mapping: FieldMapping) -> dict[str, Any]:
    """As the contract shows it: what was set, and the constant NULL where there is no other origin."""
    shown = mapping.model_dump(mode="json", exclude_defaults=True)
    return shown if mapping.source or mapping.template else {"value": mapping.value, **shown}


def _schedule(schedule: AnySchedule) -> dict[str, Any]:
    return schedule.model_dump(mode="json")
