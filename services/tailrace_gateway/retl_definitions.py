"""From RudderStack's words to ours and back: a source is a model, a connection is a sync of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn, TypeAlias

from pydantic import ValidationError

from tailrace.core.mappings import OnNull
from tailrace.core.syncs import (
    CronSchedule,
    FieldMapping,
    IntervalSchedule,
    ManualSchedule,
    SyncDefinition,
    SyncMode,
)
from tailrace.mapping.checks import mapping_faults
from tailrace.store.models import Model
from tailrace.store.syncs import AnySchedule
from tailrace_gateway.problems import Fault, Unprocessable
from tailrace_gateway.retl_bodies import (
    AnyConfig,
    Constant,
    CreateRetlConnection,
    Event,
    Pair,
    QueryConfig,
    RetlSchedule,
    Treatment,
    UpdateRetlConnection,
)
from tailrace_gateway.sync_bodies import require_sound

EVENT_FIELD = "event"
"""The destination field that holds the name of a track event."""

_UTC = "UTC"
_BACKTICKS = frozenset({"bigquery", "clickhouse", "databricks", "mysql"})

Parts: TypeAlias = tuple[Sequence[Pair], Sequence[Pair], Sequence[Constant]]
"""Identifiers, mappings and constants."""


def query_of(config: AnyConfig, connector: str) -> str:
    """The SQL that a source stands for in that warehouse."""
    if isinstance(config, QueryConfig):
        return config.sql
    quote = "`" if connector in _BACKTICKS else '"'
    schema, table = (quote + name.replace(quote, quote * 2) + quote for name in (config.schema_name, config.table))
    return f"SELECT * FROM {schema}.{table}"  # noqa: S608 - quoted names


def schedule_of(said: RetlSchedule) -> AnySchedule:
    """The schedule that was asked for.

    :raises Unprocessable: the expression or the zone cannot work.
    """
    if said.type == "basic":
        return IntervalSchedule(type="interval", every_minutes=said.every_minutes or 0)
    if said.type == "manual":
        return ManualSchedule()
    try:
        return CronSchedule(type="cron", expression=said.cron_expression or "", timezone=said.timezone or _UTC)
    except ValidationError as error:
        raise Unprocessable([Fault("/schedule/cronExpression", "cron", _told(error))]) from None


def schedule_view(schedule: AnySchedule) -> dict[str, Any]:
    """A schedule in the words of the contract."""
    match schedule:
        case IntervalSchedule(every_minutes=minutes):
            return {"type": "basic", "everyMinutes": minutes}
        case CronSchedule(expression=expression, timezone=zone):
            named = {} if zone == _UTC else {"timezone": zone}
            return {"type": "cron", "cronExpression": expression, **named}
        case _:
            return {"type": "manual"}


def definition_of(body: CreateRetlConnection, model: Model) -> SyncDefinition:
    """The definition of a new connection.

    :raises Unprocessable: its parts do not go together.
    """
    _require_one_target(body)
    behaviour = body.sync_behaviour or "upsert"
    return _definition(
        {
            "source_id": model.source_id,
            "source_query": model.query,
            "destination_id": body.destination_id,
            "object_name": body.object or (body.event.type if body.event else ""),
            "sync_mode": SyncMode.MIRROR if behaviour == "mirror" else SyncMode.UPSERT,
            "resend": behaviour == "full",
            "on_type_mismatch": body.on_type_mismatch,
        },
        (body.identifiers, body.mappings, body.constants),
        body.event,
    )


def changed_definition(body: UpdateRetlConnection, old: SyncDefinition, event: Event | None) -> SyncDefinition:
    """The old definition with what the body names.

    :raises Unprocessable: its parts do not go together.
    """
    identifiers, mappings, constants = parts_of(old, event)
    parts = (
        identifiers if body.identifiers is None else body.identifiers,
        mappings if body.mappings is None else body.mappings,
        constants if body.constants is None else body.constants,
    )
    said = old.model_dump(exclude={"field_mappings"})
    return _definition(said | {"on_type_mismatch": body.on_type_mismatch or old.on_type_mismatch}, parts, event)


def read_by(definition: SyncDefinition, model: Model) -> SyncDefinition:
    """The same definition, reading the model."""
    return definition.model_copy(update={"source_id": model.source_id, "source_query": model.query})


def parts_of(definition: SyncDefinition, event: Event | None) -> Parts:
    """The mappings of a definition, sorted as the contract sorts them."""
    rest = [each for each in definition.field_mappings if event is None or each not in _event_mappings(event)]
    identifiers = [_pair(each) for each in rest if each.key]
    mappings = [_pair(each) for each in rest if (each.source or each.template) and not each.key]
    constants = [
        Constant(key=each.destination, value=_text(each.value), **_treatment(each))
        for each in rest
        if each.source is None and each.template is None
    ]
    return identifiers, mappings, constants


def behaviour_of(definition: SyncDefinition) -> str:
    """How records are synced; a mode that the contract has no word for keeps its own."""
    return "full" if definition.resend else str(definition.sync_mode)


def place_in_body(place: str, parts: Parts, *, has_object: bool) -> str:
    """A place in a definition, as the place in the body that it came from."""
    target = "/object" if has_object else "/event/type"
    whole = {"/objectName": target, "/syncMode": "/syncBehaviour", "/fieldMappings": "/mappings"}
    if place in whole:
        return whole[place]
    places = [
        (f"/{name}/{at}/", key) for name, key, each in zip(_LISTS, _KEYS, parts, strict=True) for at in range(len(each))
    ]
    _, _, rest = place.partition("/fieldMappings/")
    at, _, member = rest.partition("/")
    if not at.isdigit() or int(at) >= len(places):
        return "/event"
    item, key = places[int(at)]
    return item + {"source": "from", "destination": key}.get(member, member)


_LISTS = ("identifiers", "mappings", "constants")
_KEYS = ("to", "to", "key")


def _definition(said: Mapping[str, Any], parts: Parts, event: Event | None) -> SyncDefinition:
    identifiers, mappings, constants = parts
    try:
        fields = (
            *(_mapping(pair, key=True) for pair in identifiers),
            *(_mapping(pair, key=False) for pair in mappings),
            *(FieldMapping(value=each.value, destination=each.key, **_said(each)) for each in constants),
            *(_event_mappings(event) if event else ()),
        )
        definition = SyncDefinition.model_validate({**said, "field_mappings": fields})
    except ValidationError as error:
        raise Unprocessable([Fault("/mappings", "value_error", _told(error))]) from None
    try:
        require_sound(mapping_faults(definition, None, None))
    except Unprocessable as error:
        raise in_body(error, parts, has_object=event is None) from None
    return definition


def in_body(error: Unprocessable, parts: Parts, *, has_object: bool) -> Unprocessable:
    """The same faults, where the body has what they are about."""
    return Unprocessable(
        [replace(fault, place=place_in_body(fault.place, parts, has_object=has_object)) for fault in error.faults]
    )


def _mapping(pair: Pair, *, key: bool) -> FieldMapping:
    return FieldMapping(source=pair.from_, template=pair.template, destination=pair.to, key=key, **_said(pair))


def _said(part: Treatment) -> dict[str, Any]:
    return {"cast": part.cast, "hash": part.hash, "on_null": part.on_null or OnNull.SEND}


def _pair(mapping: FieldMapping) -> Pair:
    return Pair(from_=mapping.source, template=mapping.template, to=mapping.destination, **_treatment(mapping))


def _treatment(mapping: FieldMapping) -> dict[str, Any]:
    on_null = None if mapping.on_null is OnNull.SEND else mapping.on_null
    return {"cast": mapping.cast, "hash": mapping.hash, "on_null": on_null}


def _event_mappings(event: Event) -> Iterable[FieldMapping]:
    if event.name is not None:
        return (FieldMapping(value=event.name, destination=EVENT_FIELD),)
    if event.name_column is not None:
        return (FieldMapping(source=event.name_column, destination=EVENT_FIELD),)
    return ()


def _require_one_target(body: CreateRetlConnection) -> None:
    if body.destination_config:
        _refuse("/destinationConfig", "no destination takes any; put settings on the destination itself")
    if body.object and body.event:
        _refuse("/event", "goes with no object: give one of the two")
    if not body.object and not body.event:
        _refuse("/object", "is required, or event in its place")
    if body.cursor_column and body.sync_behaviour in {"mirror", "full"}:
        _refuse("/cursorColumn", "goes with the syncBehaviour upsert alone")


def _refuse(place: str, detail: str) -> NoReturn:
    raise Unprocessable([Fault(place, "value_error", detail)])


def _told(error: ValidationError) -> str:
    return "; ".join(found["msg"].removeprefix("Value error, ") for found in error.errors(include_input=False))


def _text(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case None:
            return ""
        case _:
            return str(value)
