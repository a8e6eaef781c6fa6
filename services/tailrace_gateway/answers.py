"""What answers about syncs, destinations, dead letters, connectors and connections hold."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from tailrace.connector_kit.capabilities import Capability
from tailrace.connector_kit.destination import Level
from tailrace.core.mappings import Cast, Hash, OnNull, OnTypeMismatch
from tailrace.core.policies import DeliveryPolicy
from tailrace.core.readings import Reading
from tailrace.core.syncs import Schedule, SyncMode
from tailrace_gateway.envelopes import Count, Item, RunWord, Seconds, Told, Unnamed

ConnectionWord = Annotated[
    Literal["untested", "connected", "failing"],
    Field(description="How the last test went; `untested` where there was none since the settings changed."),
]


class SyncBriefAttributes(Told):
    """A sync in a listing."""

    name: str
    source_id: str
    destination_id: str
    object_name: str
    sync_mode: SyncMode
    enabled: bool
    schedule: Schedule
    next_run_at: Seconds | None
    created_at: Seconds
    updated_at: Seconds


class Mapping(Told):
    """A source column, a constant, or a template, that becomes a destination field; of the rest what was set."""

    source: str | None = None
    value: str | int | float | bool | None = None
    template: str | None = None
    destination: str
    key: bool = False
    cast: Cast | None = None
    hash: Hash | None = None
    on_null: OnNull = OnNull.SEND


class LastRun(Told):
    """How the newest run of a sync stands."""

    id: str
    status: RunWord
    started_at: Seconds | None
    finished_at: Seconds | None


class SyncAttributes(SyncBriefAttributes):
    """A sync; `version` counts the changes of its definition."""

    version: Annotated[int, Field(ge=1)]
    source_query: str
    field_mappings: list[Mapping]
    reading: Reading
    max_delete_ratio: float
    delivery: DeliveryPolicy
    on_type_mismatch: OnTypeMismatch
    last_run: LastRun | None
    open_dead_letters: Annotated[
        int, Field(ge=0, description="Rows refused by this or an earlier run and not mended since; 100,000 at most.")
    ]


class DeletedAttributes(Told):
    """A thing that was deleted."""

    deleted: Literal[True]
    deleted_at: Seconds


class DeletedSyncAttributes(DeletedAttributes):
    """A sync that was deleted."""


class DeletedSourceAttributes(DeletedAttributes):
    """A source that was deleted."""


class DeletedDestinationAttributes(DeletedAttributes):
    """A destination that was deleted."""


class ToggledSyncAttributes(Told):
    """A sync that was paused or goes on."""

    enabled: bool
    updated_at: Seconds


class ReverseEtlDestinationAttributes(Told):
    """A destination that syncs can write to."""

    name: str
    connector: str
    status: ConnectionWord
    objects_discoverable: bool


class DestinationObjectAttributes(Told):
    """Something that rows can be written to. One that `has_members` is a list: rows add and remove its records."""

    label: str
    api_name: str
    supports_upsert: bool
    sync_modes: list[SyncMode]
    writable: bool
    has_members: bool


class ObjectFieldAttributes(Told):
    """A field of an object."""

    label: str
    data_type: str
    required: bool
    updateable: bool
    external_id: bool


class MappingSuggestionAttributes(Told):
    """A column for a field. The score is 1 for the same name; converted values may not fit, see `on_type_mismatch`."""

    source: str
    destination: str
    score: Annotated[float, Field(ge=0, le=1)]
    converted: bool


class DeadLetterAttributes(Told):
    """A row that the destination, or the mapping, did not take."""

    sync_id: str
    run_id: str
    error_code: str
    message: str
    record_keys: dict[str, Any]
    attempts: Count
    first_seen_at: Seconds
    last_seen_at: Seconds
    resolved: bool
    state: Literal["open", "replaying", "resolved"]
    resolution: str | None
    resolved_at: Seconds | None
    replay_run_id: str | None


class DeadLetterStatsAttributes(Told):
    """How many dead letters there are, the open ones by code."""

    open_count: Count
    resolved_count: Count
    by_error_code: dict[str, Count]
    computed_at: Seconds


class ResolvedLettersAttributes(Told):
    """Letters that were dealt with; `replaying_ids` are those of them that stay open until a run delivers them.

    Letters of several syncs are tried by a run of each: `replay_run_id` is the first of `replay_run_ids`.
    """

    resolved_ids: list[str]
    replaying_ids: list[str]
    replay_run_id: str | None
    replay_run_ids: list[str]
    resolved_at: Seconds


class ConnectorAttributes(Told):
    """A connector; a form can be drawn from `settings_schema`, a JSON Schema.

    Bronze keeps the contract, silver was tried with the real thing, gold also discovers; `verified_against` says what.
    `capabilities` are what it can do besides: rehearse writes, keep lists of members, make fields.
    """

    kind: Literal["source", "destination"]
    label: str
    level: Level
    verified_against: str
    settings_schema: dict[str, Any]
    secret_fields: list[str]
    capabilities: list[Capability]


class SourceAttributes(Told):
    """A source; secrets are shown as `***`."""

    name: str
    connector: str
    settings: dict[str, Any]
    status: ConnectionWord
    checked_at: Seconds | None
    check_code: str | None
    created_at: Seconds
    updated_at: Seconds


class DestinationAttributes(SourceAttributes):
    """A destination, and how fast it may be written to; null is no limit."""

    requests_per_second: float | None
    max_in_flight: int | None


class ConnectionTestAttributes(Told):
    """Whether the connection works; if not, `message` says what to do about it."""

    status: ConnectionWord
    code: str | None
    message: str | None


SyncBrief: TypeAlias = Item[Literal["reverse_etl_sync"], SyncBriefAttributes]
Sync: TypeAlias = Item[Literal["reverse_etl_sync"], SyncAttributes]
DeletedSync: TypeAlias = Item[Literal["reverse_etl_sync"], DeletedSyncAttributes]
ToggledSync: TypeAlias = Item[Literal["reverse_etl_sync"], ToggledSyncAttributes]
ReverseEtlDestination: TypeAlias = Item[Literal["reverse_etl_destination"], ReverseEtlDestinationAttributes]
DestinationObject: TypeAlias = Item[Literal["destination_object"], DestinationObjectAttributes]
ObjectField: TypeAlias = Item[Literal["destination_field"], ObjectFieldAttributes]
MappingSuggestion: TypeAlias = Item[Literal["mapping_suggestion"], MappingSuggestionAttributes]
DeadLetter: TypeAlias = Item[Literal["reverse_etl_dlq_entry"], DeadLetterAttributes]
DeadLetterStats: TypeAlias = Unnamed[Literal["reverse_etl_dlq_stats"], DeadLetterStatsAttributes]
ResolvedLetters: TypeAlias = Unnamed[Literal["reverse_etl_dlq_resolve"], ResolvedLettersAttributes]
Connector: TypeAlias = Item[Literal["connector"], ConnectorAttributes]
Source: TypeAlias = Item[Literal["source"], SourceAttributes]
DeletedSource: TypeAlias = Item[Literal["source"], DeletedSourceAttributes]
Destination: TypeAlias = Item[Literal["destination"], DestinationAttributes]
DeletedDestination: TypeAlias = Item[Literal["destination"], DeletedDestinationAttributes]
ConnectionTest: TypeAlias = Item[Literal["connection_test"], ConnectionTestAttributes]
