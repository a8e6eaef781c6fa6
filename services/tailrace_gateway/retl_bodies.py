"""What callers of RudderStack's contract say about sources and connections: models and syncs of ours."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from tailrace.core.mappings import TEMPLATE_LIMIT, Cast, Hash, OnNull, OnTypeMismatch
from tailrace.core.names import Name
from tailrace_gateway.models import Body, Query
from tailrace_gateway.sync_bodies import ConstantText, Id, SourceQuery

PAGE_SIZE = 50
PAGE_SIZE_MOST = 1000

ExternalId = Annotated[str, Field(max_length=256)]
Column = Annotated[str, Field(min_length=1, max_length=256)]


class QueryConfig(Body):
    """A query and the column that identifies its rows."""

    primary_key: Column
    sql: SourceQuery
    description: Annotated[str, Field(max_length=4096)] | None = None


class TableConfig(Body):
    """A table and the column that identifies its rows."""

    primary_key: Column
    schema_name: Annotated[str, Field(alias="schema", min_length=1, max_length=256)]
    table: Column


def _kind_of(config: object) -> str:
    """Which of the two it is meant to be, so that what is wrong is told of that one alone."""
    if isinstance(config, Mapping):
        return "a table" if config.keys() & {"schema", "table"} else "a query"
    return "a table" if isinstance(config, TableConfig) else "a query"


AnyConfig = Annotated[
    Annotated[QueryConfig, Tag("a query")] | Annotated[TableConfig, Tag("a table")], Discriminator(_kind_of)
]


class CreateRetlSource(Body):
    """A new source: a query or a table of an account, which is a source of ours."""

    name: Name
    config: AnyConfig
    source_type: Literal["model", "table"]
    source_definition_name: Name
    account_id: Id
    enabled: bool = True
    external_id: ExternalId | None = None


class UpdateRetlSource(Body):
    """What is to change of a source; its connections read the change from their next run on."""

    name: Name | None = None
    config: AnyConfig | None = None
    enabled: bool | None = None
    account_id: Id | None = None


class RetlSourcesQuery(Query):
    """Which sources to list."""

    source_type: Literal["model", "table"] | None = None
    has_external_id: bool | None = None


class SetExternalId(Body):
    """What the owner outside calls it; empty for nothing."""

    external_id: ExternalId


class PreviewQuery(Body):
    """A query to look at. A limit of 0 only checks it."""

    account_id: Id
    sql: SourceQuery
    limit: Annotated[int, Field(ge=0, le=1000)] = 0


class Treatment(Body):
    """What is done to a value on its way: a cast, a hash, and what becomes of NULL. None of it unless said."""

    cast: Cast | None = None
    hash: Hash | None = None
    on_null: OnNull | None = None


class Pair(Treatment):
    """A column, or a Liquid template over columns, and the field that it becomes."""

    from_: Annotated[str | None, Field(alias="from", min_length=1, max_length=256)] = None
    template: Annotated[str, Field(min_length=1, max_length=TEMPLATE_LIMIT)] | None = None
    to: Column

    @model_validator(mode="after")
    def _has_one_origin(self) -> Self:
        if (self.from_ is None) == (self.template is None):
            raise ValueError("give either from (a column) or template")
        return self


class Constant(Treatment):
    """A field that has the same value in every row."""

    key: Column
    value: ConstantText


class Event(Body):
    """The kind of event that a row becomes; a track event has a name, or a column that holds it."""

    type: Literal["identify", "track"]
    name: Name | None = None
    name_column: Column | None = None

    @model_validator(mode="after")
    def _is_named_once(self) -> Self:
        if self.name is not None and self.name_column is not None:
            raise ValueError("give either name or nameColumn")
        if (self.type == "track") != (self.name is not None or self.name_column is not None):
            raise ValueError("a track event needs name or nameColumn, an identify event has neither")
        return self


class RetlSchedule(Body):
    """When runs start: every so many minutes, by a cron expression (in UTC where it names no zone), or when asked."""

    type: Literal["basic", "cron", "manual"]
    every_minutes: Annotated[int, Field(ge=1, le=525_600)] | None = None
    cron_expression: Annotated[str, Field(max_length=100)] | None = None
    timezone: Annotated[str, Field(max_length=64)] | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.type == "basic" and self.every_minutes is None:
            raise ValueError("a basic schedule needs everyMinutes")
        if self.type == "cron" and not self.cron_expression:
            raise ValueError("a cron schedule needs cronExpression")
        return self


class SyncLogs(Body):
    """Kept and shown; runs and dead letters are kept for as long as the platform says."""

    enabled: bool | None = None
    log_retention_in_days: Annotated[int, Field(ge=1, le=3650)] | None = None
    snapshots_to_retain: Annotated[int, Field(ge=1, le=1000)] | None = None


class FailedKeys(Body):
    """Kept and shown; rows that failed are tried again when they change, and by replay."""

    enable_failed_keys_retry: bool | None = None


class SyncSettings(Body):
    """Settings that clients of the contract expect to find again."""

    sync_logs_config: SyncLogs | None = None
    failed_keys_config: FailedKeys | None = None


Pairs = Annotated[tuple[Pair, ...], Field(max_length=10_000)]
Identifiers = Annotated[tuple[Pair, ...], Field(min_length=1, max_length=100)]
Constants = Annotated[tuple[Constant, ...], Field(max_length=1000)]


class CreateRetlConnection(Body):
    """A new connection: a source's rows to an object of a destination, or as events where there is no object.

    `identifiers` make the key of a row. `cursorColumn` is kept and shown: changes are found by comparing whole rows.
    """

    source_id: Id
    destination_id: Id
    enabled: bool = True
    external_id: ExternalId | None = None
    schedule: RetlSchedule
    sync_settings: SyncSettings | None = None
    sync_behaviour: Literal["upsert", "mirror", "full"] | None = None
    identifiers: Identifiers
    mappings: Pairs = ()
    event: Event | None = None
    constants: Constants = ()
    cursor_column: Annotated[str, Field(max_length=256)] | None = None
    object: Annotated[str, Field(max_length=256)] | None = None
    destination_config: Mapping[str, Any] | None = None
    on_type_mismatch: OnTypeMismatch = OnTypeMismatch.REJECT_ROW


class UpdateRetlConnection(Body):
    """What a connection's schedule is, and what else is to change: what is left out stays, an empty list clears."""

    refused = dict.fromkeys(
        [
            "sourceId",
            "destinationId",
            "syncBehaviour",
            "event",
            "object",
            "cursorColumn",
            "destinationConfig",
        ],
        "cannot be changed: delete the connection and create it anew",
    )

    enabled: bool | None = None
    schedule: RetlSchedule
    sync_settings: SyncSettings | None = None
    identifiers: Annotated[tuple[Pair, ...], Field(max_length=100)] | None = None
    mappings: Pairs | None = None
    constants: Constants | None = None
    on_type_mismatch: OnTypeMismatch | None = None


class RetlConnectionsQuery(Query):
    """Which connections to list."""

    source_id: Id | None = None
    destination_id: Id | None = None
    has_external_id: bool | None = None
    page: Annotated[int, Field(ge=1)] = 1
    page_size: Annotated[int, Field(ge=1, le=PAGE_SIZE_MOST)] = PAGE_SIZE
