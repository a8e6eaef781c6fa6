"""The mappings of a definition in RudderStack's words: identifiers, mappings, constants, and the event of a row."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from itertools import chain
from typing import Any

from tailrace.core.mappings import OnNull
from tailrace.core.syncs import FieldMapping
from tailrace_gateway.problems import Unprocessable
from tailrace_gateway.retl_bodies import Constant, Event, Pair, Treatment

EVENT_FIELD = "event"
"""The destination field that holds the name of a track event."""


class Part(StrEnum):
    """A list of the contract that mappings come from."""

    IDENTIFIERS = "identifiers"
    MAPPINGS = "mappings"
    CONSTANTS = "constants"
    EVENT = "event"


def shown_by_part(mappings: Sequence[FieldMapping], event: Event | None) -> dict[Part, list[Pair | Constant]]:
    """Mappings as the contract shows them, in its three lists; those of the event are not among them."""
    shown: dict[Part, list[Pair | Constant]] = {Part.IDENTIFIERS: [], Part.MAPPINGS: [], Part.CONSTANTS: []}
    for mapping in mappings:
        if (part := _part_of(mapping, event)) in shown:
            shown[part].append(_shown(mapping))
    return shown


def mappings_of(given: Mapping[Part, Iterable[Pair | Constant]]) -> dict[Part, list[FieldMapping]]:
    """What lists of the contract mean.

    :raises ValidationError: one of them cannot be.
    """
    return {part: [_meant(each, key=part is Part.IDENTIFIERS) for each in some] for part, some in given.items()}


def event_parts(event: Event | None) -> Sequence[Pair | Constant]:
    """What an event adds to a row."""
    if event is not None and event.name is not None:
        return (Constant(key=EVENT_FIELD, value=event.name),)
    if event is not None and event.name_column is not None:
        return (Pair(from_=event.name_column, to=EVENT_FIELD),)
    return ()


def event_mappings(event: Event | None) -> Sequence[FieldMapping]:
    """The same as mappings of a definition."""
    return [_meant(part, key=False) for part in event_parts(event)]


def replaced(
    old: Sequence[FieldMapping], asked: Mapping[Part, Sequence[FieldMapping]], event: Event | None
) -> Iterator[FieldMapping]:
    """Old mappings with whole parts of them as they are asked for now, where the first of a part stood.

    The contract shows less than there may be: a constant is a text to it. What is asked for as it was shown stays.
    """
    before: dict[Part, list[FieldMapping]] = {part: [] for part in Part}
    for mapping in old:
        before[_part_of(mapping, event)].append(mapping)
    as_shown = {_meant(_shown(mapping), key=mapping.key): mapping for mapping in old}
    now = {part: [as_shown.get(each, each) for each in some] for part, some in asked.items()}
    left = {part: some for part, some in now.items() if some != before[part]}
    changed = set(left)
    for mapping in old:
        part = _part_of(mapping, event)
        yield from left.pop(part, ()) if part in changed else (mapping,)
    yield from chain.from_iterable(left.values())


def in_body(error: Unprocessable, mappings: Sequence[FieldMapping], event: Event | None) -> Unprocessable:
    """The same faults, where the body has what they are about."""
    return Unprocessable([replace(fault, place=_place_in_body(fault.place, mappings, event)) for fault in error.faults])


def _place_in_body(place: str, mappings: Sequence[FieldMapping], event: Event | None) -> str:
    """A place in a definition, as the place in the body that it came from."""
    target = "/object" if event is None else "/event/type"
    whole = {"/objectName": target, "/syncMode": "/syncBehaviour", "/fieldMappings": "/mappings"}
    if place in whole:
        return whole[place]
    _, _, rest = place.partition("/fieldMappings/")
    at, _, member = rest.partition("/")
    if not at.isdigit() or int(at) >= len(mappings):
        return "/event"
    parts = [_part_of(mapping, event) for mapping in mappings[: int(at) + 1]]
    part = parts.pop()
    if part is Part.EVENT:
        return "/event"
    names = {"source": "from", "destination": "key" if part is Part.CONSTANTS else "to"}
    return f"/{part}/{parts.count(part)}/{names.get(member, member)}"


def _part_of(mapping: FieldMapping, event: Event | None) -> Part:
    if mapping in event_mappings(event):
        return Part.EVENT
    if mapping.key:
        return Part.IDENTIFIERS
    return Part.MAPPINGS if mapping.source or mapping.template else Part.CONSTANTS


def _shown(mapping: FieldMapping) -> Pair | Constant:
    """Unchecked: what was made by the other contract may be more than this one takes."""
    on_null = None if mapping.on_null is OnNull.SEND else mapping.on_null
    said: dict[str, Any] = {"cast": mapping.cast, "hash": mapping.hash, "on_null": on_null}
    if mapping.source or mapping.template:
        return Pair.model_construct(from_=mapping.source, template=mapping.template, to=mapping.destination, **said)
    return Constant.model_construct(key=mapping.destination, value=_text(mapping.value), **said)


def _meant(part: Pair | Constant, *, key: bool) -> FieldMapping:
    if isinstance(part, Pair):
        return FieldMapping(source=part.from_, template=part.template, destination=part.to, key=key, **_treatment(part))
    return FieldMapping(value=part.value, destination=part.key, **_treatment(part))


def _treatment(part: Treatment) -> dict[str, Any]:
    return {"cast": part.cast, "hash": part.hash, "on_null": part.on_null or OnNull.SEND}


def _text(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case None:
            return ""
        case _:
            return str(value)
