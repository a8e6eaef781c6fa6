"""Management: the versions of a sync, and pausing it by its path."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from tailrace.core.errors import NotFound
from tailrace.core.ids import SyncId
from tailrace.store.sync_versions import SyncVersion
from tailrace.store.syncs import Sync, SyncChange
from tailrace.store.tokens import Role
from tailrace_gateway.answers import Sync as SyncAnswer
from tailrace_gateway.calls import Answer, AnyCall, Call, Handler, Route
from tailrace_gateway.conditions import unless_overtaken
from tailrace_gateway.definition_diffs import diff
from tailrace_gateway.envelopes import Item, One, Page, Seconds, Told
from tailrace_gateway.listings import paged
from tailrace_gateway.models import NoBody, NoQuery, Query
from tailrace_gateway.paging import After, PagedQuery
from tailrace_gateway.planasonix_syncs import changed_sync
from tailrace_gateway.repeats import once_in_store
from tailrace_gateway.stores import Stores
from tailrace_gateway.wire import Item as Shown
from tailrace_gateway.wire import item, one, seconds

KIND = "sync_version"

_SYNC = "/api/syncs/{sync_id}"
_VERSION = f"{_SYNC}/versions/{{version}}"
_VERSION_MOST = 2**31 - 1

VersionNumber = Annotated[int, Field(ge=1, le=_VERSION_MOST)]


class DiffQuery(Query):
    """With which version to compare; left out, with the one before."""

    against: VersionNumber | None = None


class SyncVersionAttributes(Told):
    """A definition that the sync has had since `created_at`; runs keep the version that they started with."""

    sync_id: str
    version: VersionNumber
    current: bool
    definition: dict[str, Any]
    created_at: Seconds


class Difference(Told):
    """A place that differs; mappings go by the name of their destination, null is nothing."""

    pointer: str
    before: Any
    after: Any


class SyncDiffAttributes(Told):
    """What changed from one version to another."""

    sync_id: str
    from_version: VersionNumber
    to_version: VersionNumber
    differences: list[Difference]


Version: TypeAlias = Item[Literal["sync_version"], SyncVersionAttributes]
Diff: TypeAlias = Item[Literal["sync_diff"], SyncDiffAttributes]


async def list_versions(call: Call[NoBody, PagedQuery]) -> Answer:
    """The definitions that a sync has had, the newest first."""
    sync = await call.sync()

    async def find(*, after: After | None, limit: int) -> Sequence[SyncVersion]:
        before = int(after[1]) if after else None
        return await call.stores.sync_versions.list(sync.id, before=before, limit=limit)

    def place(version: SyncVersion) -> After:
        return version.created_at, str(version.version)

    return Answer(await paged(call, f"versions/{sync.id}", find, place=place, shown=partial(_shown, sync)))


async def get_version(call: Call[NoBody, NoQuery]) -> Answer:
    """One definition that a sync has, or had."""
    sync = await call.sync()
    return Answer(one(_shown(sync, await _version(call, sync))))


async def diff_versions(call: Call[NoBody, DiffQuery]) -> Answer:
    """What changed from another version to this one."""
    sync = await call.sync()
    to = await _version(call, sync)
    number = call.query.against or to.version - 1
    if number == 0:
        raise NotFound(
            "version 1 has none before it: say with which one to compare (against)", code="NO_VERSION_BEFORE"
        )
    before = await call.stores.sync_versions.get(sync.id, number)
    attributes = {
        "sync_id": sync.id,
        "from_version": before.version,
        "to_version": to.version,
        "differences": diff(before.definition, to.definition),
    }
    return Answer(one(item("sync_diff", f"{before.version}..{to.version}", attributes)))


async def roll_back(call: Call[NoBody, NoQuery]) -> Answer:
    """Give the sync the definition of an earlier version, as a new version; name, schedule and pause stay.

    It is checked as any change is: the source and destination must still be there and take it.
    """

    async def change() -> Answer:
        old = await call.sync()
        wanted = (await _version(call, old)).definition
        if wanted != old.definition:
            await call.stores.discovery.require_target(old.workspace_id, wanted)
        return await once_in_store(call, lambda stores: changed_sync(call, stores, old, SyncChange(definition=wanted)))

    return await unless_overtaken(call, change)


def set_enabled(*, enabled: bool) -> Handler:
    """Pauses a sync or lets it go on. A run under way is not touched; ticks missed meanwhile are not made up for."""

    async def handle(call: Call[NoBody, NoQuery]) -> Answer:
        async def act(stores: Stores) -> Answer:
            old = await stores.syncs.get(call.identity.workspace_id, call.path["sync_id"])
            return await changed_sync(call, stores, old, SyncChange(enabled=enabled))

        return await unless_overtaken(call, lambda: once_in_store(call, act))

    return handle


def _pause(word: str, summary: str, *, enabled: bool) -> Route:
    return Route(
        "POST",
        f"{_SYNC}/{word}",
        Role.EDITOR,
        set_enabled(enabled=enabled),
        summary,
        operation_id=f"{word}Sync",
        answer=One[SyncAnswer],
        is_body_optional=True,
        about=set_enabled.__doc__,
        tells_tag=True,
        heeds_tag=True,
    )


VERSIONS = (
    _pause("pause", "Pause a sync", enabled=False),
    _pause("resume", "Let a paused sync go on", enabled=True),
    Route(
        "GET",
        f"{_SYNC}/versions",
        Role.VIEWER,
        list_versions,
        "List the versions of a sync",
        operation_id="listSyncVersions",
        answer=Page[Version],
        query=PagedQuery,
    ),
    Route(
        "GET",
        _VERSION,
        Role.VIEWER,
        get_version,
        "Get a version of a sync",
        operation_id="getSyncVersion",
        answer=One[Version],
    ),
    Route(
        "GET",
        f"{_VERSION}/diff",
        Role.VIEWER,
        diff_versions,
        "Compare two versions of a sync",
        operation_id="diffSyncVersions",
        answer=One[Diff],
        query=DiffQuery,
    ),
    Route(
        "POST",
        f"{_VERSION}/rollback",
        Role.EDITOR,
        roll_back,
        "Go back to a version of a sync",
        operation_id="rollBackSync",
        answer=One[SyncAnswer],
        is_body_optional=True,
        tells_tag=True,
        heeds_tag=True,
    ),
)


async def _version(call: AnyCall, sync: Sync) -> SyncVersion:
    text = call.path["version"]
    number = int(text) if text.isascii() and text.isdigit() else 0
    return await call.stores.sync_versions.get(SyncId(sync.id), min(number, _VERSION_MOST))


def _shown(sync: Sync, version: SyncVersion) -> Shown:
    attributes = {
        "sync_id": sync.id,
        "version": version.version,
        "current": version.version == sync.version,
        "definition": version.definition.model_dump(mode="json"),
        "created_at": seconds(version.created_at),
    }
    return item(KIND, str(version.version), attributes)
