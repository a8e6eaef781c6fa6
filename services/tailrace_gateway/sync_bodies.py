"""What a caller says about a sync, and the definition that it makes."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from tailrace.core.mappings import OnTypeMismatch
from tailrace.core.names import NOT_BLANK, Name
from tailrace.core.pointers import pointer
from tailrace.core.policies import DeliveryPolicy, FailureThresholds
from tailrace.core.readings import CursorReading, SnapshotReading, VersionReading
from tailrace.core.syncs import (
    SCHEDULE,
    AnySchedule,
    CronSchedule,
    FieldMapping,
    IntervalSchedule,
    ManualSchedule,
    SyncDefinition,
    SyncMode,
)
from tailrace.mapping.checks import MappingFault, mapping_faults
from tailrace_gateway.models import Body
from tailrace_gateway.problems import Fault, Unprocessable
from tailrace_gateway.wording import worded

_NAMES = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


def _not_null(schedule: object) -> object:
    """Null may be meant as no schedule, or as nothing said of it: whoever is taken wrong is not told."""
    if schedule is None:
        raise ValueError('is not null: give {"type": "manual"} to have none, or leave it out to keep what there is')
    return schedule


ConstantText = Annotated[str, Field(max_length=65_536)]
"""A constant, as long as either contract has it: one that the other could not show would spoil its lists."""


class FieldMappingBody(FieldMapping):
    """A source column, a constant, or a Liquid template over columns, that becomes a destination field."""

    model_config = _NAMES

    value: ConstantText | int | float | bool | None = None


class ManualBody(ManualSchedule):
    """Runs only when asked."""

    model_config = _NAMES


class IntervalBody(IntervalSchedule):
    """Runs every so many minutes."""

    model_config = _NAMES


class CronBody(CronSchedule):
    """Runs by a five-field cron expression in a time zone."""

    model_config = _NAMES


class SnapshotReadingBody(SnapshotReading):
    """All of the query is read, and compared with what was delivered."""

    model_config = _NAMES


class VersionReadingBody(VersionReading):
    """All keys of the query are read, each with its value in a column: a row is read if that is not what it was."""

    model_config = _NAMES


class CursorReadingBody(CursorReading):
    """Only rows are read whose value in a column is above the watermark, less the look-back.

    The look-back counts seconds where the column holds times, units of the column where it holds numbers.
    """

    model_config = _NAMES


class FailureThresholdsBody(FailureThresholds):
    """When so many rows are rejected that a run gives up; null switches a threshold off."""

    model_config = _NAMES


class DeliveryBody(DeliveryPolicy):
    """How much may be sent twice after a crash, what becomes of rows in doubt, and when a run gives up."""

    model_config = _NAMES

    failure_thresholds: FailureThresholdsBody = FailureThresholdsBody()


Id = Annotated[str, Field(min_length=1, max_length=64)]
ScheduleBody = Annotated[ManualBody | IntervalBody | CronBody, Field(discriminator="type")]
ReadingBody = Annotated[SnapshotReadingBody | VersionReadingBody | CursorReadingBody, Field(discriminator="type")]
Mappings = Annotated[tuple[FieldMappingBody, ...], Field(min_length=1, max_length=10_000)]
DeleteRatio = Annotated[float, Field(ge=0, le=1)]
SourceQuery = Annotated[str, Field(min_length=1, max_length=65_536), NOT_BLANK]


class CreateSync(Body):
    """A new sync. Without `sourceId` the workspace's only source is meant."""

    name: Name
    source_id: Id | None = None
    source_query: SourceQuery
    destination_id: Id
    object_name: Name
    field_mappings: Mappings
    sync_mode: SyncMode
    reading: ReadingBody = SnapshotReadingBody()
    max_delete_ratio: DeleteRatio = 0.1
    delivery: DeliveryBody = DeliveryBody()
    on_type_mismatch: OnTypeMismatch = OnTypeMismatch.REJECT_ROW
    schedule: ScheduleBody | None = None
    enabled: bool = True


class UpdateSync(Body):
    """What is to change of a sync; what is left out stays as it is."""

    name: Name | None = None
    source_id: Id | None = None
    source_query: SourceQuery | None = None
    destination_id: Id | None = None
    object_name: Name | None = None
    field_mappings: Mappings | None = None
    sync_mode: SyncMode | None = None
    reading: ReadingBody | None = None
    max_delete_ratio: DeleteRatio | None = None
    delivery: DeliveryBody | None = None
    on_type_mismatch: OnTypeMismatch | None = None
    schedule: Annotated[ScheduleBody | None, BeforeValidator(_not_null)] = None
    enabled: bool | None = None


def schedule_of(body: CreateSync | UpdateSync) -> AnySchedule | None:
    """The schedule that the body asks for; None where it says nothing of it."""
    if body.schedule is None:
        return None
    return SCHEDULE.validate_python(body.schedule.model_dump())


def definition_of(body: CreateSync | UpdateSync, old: SyncDefinition | None, source_id: str) -> SyncDefinition:
    """The definition that the body makes, of its own or on top of an old one.

    :raises Unprocessable: its parts do not go together.
    """
    # Null means something further down: a constant, a threshold that is switched off.
    given = body.model_dump(include=set(SyncDefinition.model_fields), exclude_unset=True)
    said = {name: value for name, value in given.items() if value is not None}
    before: dict[str, Any] = {} if old is None else old.model_dump()
    try:
        definition = SyncDefinition.model_validate({**before, **said, "source_id": source_id})
    except ValidationError as error:
        raise Unprocessable([_fault(found["loc"], worded(found)) for found in error.errors()]) from None
    require_sound(mapping_faults(definition, None, None))
    return definition


def require_sound(found: Sequence[MappingFault]) -> None:
    """Return if nothing is wrong with a mapping.

    :raises Unprocessable: all that is, each at its place in the body.
    """
    faults = [Fault(_place(fault), fault.kind, fault.message) for fault in found]
    if faults:
        raise Unprocessable(faults)


def _place(fault: MappingFault) -> str:
    return pointer(["fieldMappings"] if fault.at is None else ["fieldMappings", fault.at, to_camel(fault.member)])


def _fault(location: Sequence[str | int], message: str) -> Fault:
    place = [to_camel(part) if isinstance(part, str) else part for part in location]
    return Fault(pointer(place or ["fieldMappings"]), "value_error", message)
