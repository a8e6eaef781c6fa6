"""The definition of a sync: query, destination object, mappings, mode, schedule."""

from enum import StrEnum
from typing import Annotated, Literal, Self, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from tailrace.core.clock import SystemClock
from tailrace.core.mappings import TEMPLATE_LIMIT, Cast, Hash, OnNull, OnTypeMismatch
from tailrace.core.names import NOT_BLANK, Name
from tailrace.core.policies import DeliveryPolicy
from tailrace.core.readings import CursorReading, Reading, SnapshotReading, VersionReading

_ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_CRON_FIELDS = 5


class SyncMode(StrEnum):
    """What the destination is asked to do with the rows of the query."""

    UPSERT = "upsert"
    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"
    MIRROR = "mirror"
    APPEND = "append"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FieldMapping(_Frozen):
    """A source column, a constant, or a template over columns, that becomes a destination field.

    The value is cast, then hashed, then fitted to the field; what is NULL by then goes as `on_null` says.
    """

    source: Name | None = None
    value: str | int | float | bool | None = None
    template: Annotated[str, Field(min_length=1, max_length=TEMPLATE_LIMIT), NOT_BLANK] | None = None
    destination: Name
    key: bool = False
    cast: Cast | None = None
    hash: Hash | None = None
    on_null: OnNull = OnNull.SEND

    @property
    def is_plain(self) -> bool:
        """Whether the value goes as it comes."""
        return self.template is None and self.cast is None and self.hash is None and self.on_null is OnNull.SEND

    @model_validator(mode="after")
    def _has_one_origin(self) -> Self:
        origins = sum(origin is not None for origin in (self.source, self.value, self.template))
        if origins > 1:
            raise ValueError("give one of source (a column), value (a constant) and template, not several")
        if origins == 0 and "value" not in self.model_fields_set:
            raise ValueError("give source (a column), value (a constant, null too) or template")
        if self.key and self.source is None:
            raise ValueError("a key field needs a source column")
        if self.key and self.on_null is not OnNull.SEND:
            raise ValueError("a key field is never left out or cleared: leave onNull out")
        return self


class ManualSchedule(_Frozen):
    """Runs only when asked."""

    type: Literal["manual"] = "manual"


class IntervalSchedule(_Frozen):
    """Runs every so many minutes, counted from the moment the schedule was set."""

    type: Literal["interval"]
    every_minutes: int = Field(ge=1, le=525_600)


class CronSchedule(_Frozen):
    """Runs by a five-field cron expression (or @hourly and its like) in a time zone."""

    type: Literal["cron"]
    expression: str = Field(max_length=100)
    timezone: str = "UTC"

    @property
    def five_fields(self) -> str:
        """The expression with its alias, if any, spelt out."""
        return _ALIASES.get(self.expression.lower(), self.expression)

    @property
    def zone(self) -> ZoneInfo:
        """The time zone; known to exist once validated."""
        return ZoneInfo(self.timezone)

    @model_validator(mode="after")
    def _fires(self) -> Self:
        try:
            zone = self.zone
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"unknown time zone {self.timezone!r}: use an IANA name such as Europe/Zurich") from error
        if len(self.five_fields.split()) != _CRON_FIELDS:
            raise ValueError("a cron expression has five fields: minute hour day month weekday")
        try:
            next(CronSim(self.five_fields, SystemClock().now().astimezone(zone)))
        except CronSimError as error:
            raise ValueError(f"not a cron expression: {error}") from error
        except StopIteration as error:
            raise ValueError("this cron expression never fires") from error
        return self


AnySchedule: TypeAlias = ManualSchedule | IntervalSchedule | CronSchedule
Schedule = Annotated[AnySchedule, Field(discriminator="type")]
SCHEDULE: TypeAdapter[AnySchedule] = TypeAdapter(Schedule)


class SyncDefinition(_Frozen):
    """Everything that a run needs to know of a sync; a run keeps the version that it started with."""

    source_id: str
    source_query: Annotated[str, Field(min_length=1, max_length=65_536), NOT_BLANK]
    destination_id: str
    object_name: Name
    field_mappings: tuple[FieldMapping, ...] = Field(min_length=1, max_length=10_000)
    sync_mode: SyncMode
    resend: bool = Field(default=False, description="each run sends all rows, as a full run does, not changes alone")
    reading: Reading = SnapshotReading()
    max_delete_ratio: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="mirror: the part of the rows delivered that one run may delete; 1 allows all of them",
    )

    delivery: DeliveryPolicy = DeliveryPolicy()
    on_type_mismatch: OnTypeMismatch = Field(
        default=OnTypeMismatch.REJECT_ROW,
        description="what becomes of a row with a value that its field cannot take",
    )

    @property
    def cursor(self) -> CursorReading | None:
        """The cursor that tells what is new; None where a snapshot does."""
        return self.reading if isinstance(self.reading, CursorReading) else None

    @property
    def version_column(self) -> str | None:
        """The column that tells whether a row is the same as before; None where all of its columns do."""
        return self.reading.column if isinstance(self.reading, VersionReading) else None

    @property
    def key_mappings(self) -> tuple[FieldMapping, ...]:
        """The mappings that make the key, in the order given."""
        return tuple(mapping for mapping in self.field_mappings if mapping.key)

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The source columns that make the key, in the order of the mappings."""
        return tuple(mapping.source for mapping in self.field_mappings if mapping.key and mapping.source)

    @model_validator(mode="after")
    def _is_keyed_and_unambiguous(self) -> Self:
        if not self.key_columns and self.sync_mode is not SyncMode.APPEND:
            raise ValueError('fieldMappings needs a key: set "key": true on the mapping that identifies a row')
        if self.cursor is not None and self.sync_mode is SyncMode.MIRROR:
            raise ValueError("a cursor cannot see which rows left the query: read by snapshot, or choose mode upsert")
        if self.version_column is not None and self.sync_mode is SyncMode.APPEND:
            raise ValueError("append compares no row with what was delivered: read by snapshot, or by a cursor")
        names = [mapping.destination for mapping in self.field_mappings]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"destination fields mapped twice: {', '.join(twice)}")
        return self
