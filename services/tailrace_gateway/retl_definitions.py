"""From RudderStack's words to ours and back: a source is a model, a connection is a sync of it."""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from pydantic import ValidationError

from tailrace.core.faults import said
from tailrace.core.syncs import (
    AnySchedule,
    CronSchedule,
    FieldMapping,
    IntervalSchedule,
    ManualSchedule,
    SyncDefinition,
    SyncMode,
)
from tailrace.mapping.checks import mapping_faults
from tailrace.store.models import Model
from tailrace_gateway.problems import Fault, Unprocessable
from tailrace_gateway.retl_bodies import (
    AnyConfig,
    Constant,
    CreateRetlConnection,
    Event,
    Pair,
    QueryConfig,
    RetlSchedule,
    UpdateRetlConnection,
)
from tailrace_gateway.retl_mappings import Part, event_parts, in_body, mappings_of, replaced
from tailrace_gateway.sync_bodies import require_sound

_UTC = "UTC"
_BACKTICKS = frozenset({"bigquery", "clickhouse", "databricks", "mysql"})


def query_of(config: AnyConfig, connector: str) -> str:
    """The SQL that a source stands for in that warehouse."""
    if isinstance(config, QueryConfig):
        return config.sql
    quote = "`" if connector in _BACKTICKS else '"'
    schema, table = (quote + name.replace(quote, quote * 2) + quote for name in (config.schema_name, config.table))
    return f"SELECT * FROM {schema}.{table}"  # noqa: S608 - quoted names


def schedule_of(said: RetlSchedule, old: AnySchedule | None = None) -> AnySchedule:
    """The schedule that was asked for; an expression that stays keeps its zone, which few clients know of.

    :raises Unprocessable: the expression or the zone cannot work.
    """
    if said.type == "basic":
        return IntervalSchedule(type="interval", every_minutes=said.every_minutes or 0)
    if said.type == "manual":
        return ManualSchedule()
    try:
        kept = old.timezone if isinstance(old, CronSchedule) and old.expression == said.cron_expression else _UTC
        return CronSchedule(type="cron", expression=said.cron_expression or "", timezone=said.timezone or kept)
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
    said = {
        "source_id": model.source_id,
        "source_query": model.query,
        "destination_id": body.destination_id,
        "object_name": body.object or (body.event.type if body.event else ""),
        "sync_mode": SyncMode.MIRROR if behaviour == "mirror" else SyncMode.UPSERT,
        "resend": behaviour == "full",
        "on_type_mismatch": body.on_type_mismatch,
    }
    return _definition(said, (), _asked(body) | {Part.EVENT: event_parts(body.event)}, body.event)


def changed_definition(body: UpdateRetlConnection, old: SyncDefinition, event: Event | None) -> SyncDefinition:
    """The old definition with what the body names.

    :raises Unprocessable: its parts do not go together.
    """
    said = old.model_dump(exclude={"field_mappings"})
    said |= {"on_type_mismatch": body.on_type_mismatch or old.on_type_mismatch}
    return _definition(said, old.field_mappings, _asked(body), event)


def read_by(definition: SyncDefinition, model: Model) -> SyncDefinition:
    """The same definition, reading the model."""
    return definition.model_copy(update={"source_id": model.source_id, "source_query": model.query})


def behaviour_of(definition: SyncDefinition) -> str:
    """How records are synced; a mode that the contract has no word for keeps its own."""
    return "full" if definition.resend else str(definition.sync_mode)


def _definition(
    said: Mapping[str, Any],
    old: Sequence[FieldMapping],
    asked: Mapping[Part, Sequence[Pair | Constant]],
    event: Event | None,
) -> SyncDefinition:
    try:
        mappings = tuple(replaced(old, mappings_of(asked), event))
        definition = SyncDefinition.model_validate({**said, "field_mappings": mappings})
    except ValidationError as error:
        raise Unprocessable([Fault("/mappings", "value_error", _told(error))]) from None
    try:
        require_sound(mapping_faults(definition, None, None))
    except Unprocessable as error:
        raise in_body(error, definition.field_mappings, event) from None
    return definition


def _asked(body: CreateRetlConnection | UpdateRetlConnection) -> dict[Part, Sequence[Pair | Constant]]:
    """The lists that the body names."""
    named: dict[Part, Sequence[Pair | Constant] | None] = {
        Part.IDENTIFIERS: body.identifiers,
        Part.MAPPINGS: body.mappings,
        Part.CONSTANTS: body.constants,
    }
    return {part: some for part, some in named.items() if some is not None}


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
    return "; ".join(map(said, error.errors(include_input=False)))
