"""Models and syncs as RudderStack's contract shows them: sources and connections."""

from typing import Annotated, Any, Literal

from pydantic import Field

from tailrace.core.mappings import OnTypeMismatch
from tailrace.core.syncs import SyncMode
from tailrace.store.models import Model
from tailrace.store.previews import Preview
from tailrace.store.sync_links import LinkedSync
from tailrace_gateway.envelopes import Told
from tailrace_gateway.retl_bodies import AnyConfig, Constant, Event, Pair, RetlSchedule, SyncSettings
from tailrace_gateway.retl_definitions import behaviour_of, schedule_view
from tailrace_gateway.retl_mappings import event_mappings, shown_by_part
from tailrace_gateway.run_answers import Milliseconds, SyncPaging
from tailrace_gateway.wire import milliseconds


class RetlSource(Told):
    """A source: a query or a table of an account."""

    id: str
    name: str
    config: AnyConfig
    enabled: bool
    source_type: Annotated[Literal["model", "table"], Field(alias="sourceType")]
    source_definition_name: Annotated[str, Field(alias="sourceDefinitionName")]
    account_id: Annotated[str, Field(alias="accountId")]
    workspace_id: Annotated[str, Field(alias="workspaceId")]
    external_id: Annotated[str | None, Field(alias="externalId")]
    created_at: Annotated[Milliseconds, Field(alias="createdAt")]
    updated_at: Annotated[Milliseconds, Field(alias="updatedAt")]


class RetlSources(Told):
    """The sources of a workspace, oldest first."""

    data: list[RetlSource]


class ExternalIdAnswer(Told):
    """What the owner outside calls it."""

    id: str
    external_id: Annotated[str | None, Field(alias="externalId")]


class PreviewStarted(Told):
    """The id by which the rows of a preview are fetched."""

    id: str


class PreviewAnswer(Told):
    """The rows of a preview; `error` says why there are none."""

    status: Literal["pending", "completed", "failed"]
    rows: list[dict[str, Any]]
    error: str | None = None


class RetlConnection(Told):
    """A connection: a sync of ours. Its `object` is absent where rows become events."""

    id: str
    source_id: Annotated[str, Field(alias="sourceId")]
    destination_id: Annotated[str, Field(alias="destinationId")]
    enabled: bool
    external_id: Annotated[str | None, Field(alias="externalId")]
    schedule: RetlSchedule
    sync_settings: Annotated[SyncSettings | None, Field(alias="syncSettings")] = None
    sync_behaviour: Annotated[Literal["full"] | SyncMode, Field(alias="syncBehaviour")]
    identifiers: list[Pair]
    mappings: list[Pair]
    event: Event | None = None
    constants: list[Constant]
    cursor_column: Annotated[str | None, Field(alias="cursorColumn")] = None
    object: str | None = None
    on_type_mismatch: Annotated[OnTypeMismatch | None, Field(alias="onTypeMismatch")] = None
    created_at: Annotated[Milliseconds, Field(alias="createdAt")]
    updated_at: Annotated[Milliseconds, Field(alias="updatedAt")]


class RetlConnections(Told):
    """The connections of a workspace, oldest first."""

    data: list[RetlConnection]
    paging: SyncPaging


def source_view(model: Model, connector: str) -> dict[str, Any]:
    """A model as a source; `connector` is that of its account."""
    return {
        "id": model.id,
        "name": model.name,
        "config": model.config,
        "enabled": model.enabled,
        "sourceType": model.kind,
        "sourceDefinitionName": connector,
        "accountId": model.source_id,
        "workspaceId": model.workspace_id,
        "externalId": model.external_id,
        "createdAt": milliseconds(model.created_at),
        "updatedAt": milliseconds(model.updated_at),
    }


def preview_view(preview: Preview) -> dict[str, Any]:
    """A preview that has ended, as all of ours have."""
    if preview.error is not None:
        return {"status": "failed", "rows": [], "error": preview.error}
    return {"status": "completed", "rows": preview.rows}


def connection_view(linked: LinkedSync) -> dict[str, Any]:
    """A sync as a connection; one without a model shows its source in the model's place."""
    sync, link = linked
    event = event_of(linked)
    parts = shown_by_part(sync.definition.field_mappings, event)
    policy = sync.definition.on_type_mismatch
    said = {name: link.said[name] for name in ("syncSettings", "cursorColumn") if name in link.said}
    return {
        "id": sync.id,
        "sourceId": link.model_id or sync.definition.source_id,
        "destinationId": sync.definition.destination_id,
        "enabled": sync.enabled or link.paused_with_model,
        "externalId": link.external_id,
        "schedule": schedule_view(sync.schedule),
        "syncBehaviour": behaviour_of(sync.definition),
        **{part.value: [_plain(each) for each in some] for part, some in parts.items()},
        **said,
        **({"event": link.said["event"]} if event else {"object": sync.definition.object_name}),
        **({} if policy is OnTypeMismatch.REJECT_ROW else {"onTypeMismatch": policy}),
        "createdAt": milliseconds(sync.created_at),
        "updatedAt": milliseconds(sync.updated_at),
    }


def event_of(linked: LinkedSync) -> Event | None:
    """The event that the rows of a connection become, if any: a definition that is no more that event's has none."""
    sync, link = linked
    if "event" not in link.said:
        return None
    event = Event.model_validate(link.said["event"])
    adds = set(event_mappings(event)) <= set(sync.definition.field_mappings)
    return event if adds and sync.definition.object_name == event.type else None


def _plain(part: Pair | Constant) -> dict[str, Any]:
    return part.model_dump(by_alias=True, mode="json", exclude_none=True)
