"""From bytes to models: limits first, then JSON, then the model; every fault with its place."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import orjson
from multidict import MultiMapping
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tailrace.core.pointers import pointer
from tailrace_gateway.models import Body, Query
from tailrace_gateway.problems import Fault, Malformed, Unprocessable
from tailrace_gateway.wording import worded

BODY_SIZE_LIMIT_BYTES = 1024 * 1024
DEPTH_LIMIT = 32
FAULTS_TOLD = 50

_NUL = "\x00"
_BodyT = TypeVar("_BodyT", bound=Body)
_QueryT = TypeVar("_QueryT", bound=Query)


def read_json(raw: bytes, *, or_empty: bool) -> object:
    """The JSON document; `{}` for nothing where that is allowed.

    :raises Malformed: not JSON, or nested too deep.
    :raises Unprocessable: text holds NUL, which no part of Tailrace can keep.
    """
    if not raw.strip() or (or_empty and raw.strip() == b"null"):
        if or_empty:
            return {}
        raise Malformed("the body is empty: send a JSON object; /openapi.json shows one", code="NOT_JSON")
    try:
        document: object = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise Malformed(f"the body is not JSON: it goes wrong at {place}", code="NOT_JSON") from None
    _check_tree(document)
    return document


def read_body(model: type[_BodyT], document: object) -> _BodyT:
    """The document as a model.

    :raises Unprocessable: names each fault and its place.
    """
    try:
        return model.model_validate_json(orjson.dumps(document))
    except ValidationError as error:
        raise Unprocessable(faults_of(error, document, known=model)) from None


def read_query(model: type[_QueryT], query: MultiMapping[str]) -> _QueryT:
    """The query of a URL as a model.

    :raises Unprocessable: names each fault and its parameter.
    """
    twice = sorted({name for name in query if len(query.getall(name)) > 1})
    nul = sorted(name for name, value in query.items() if _NUL in name + value)
    faults = [Fault.at_parameter(name, "repeated", "give it once") for name in twice]
    faults += [Fault.at_parameter(name, "nul", "text must not hold NUL") for name in nul]
    if faults:
        raise Unprocessable(faults)
    try:
        return model.model_validate(dict(query))
    except ValidationError as error:
        found = faults_of(error, dict(query), known=model)
        raise Unprocessable(
            [Fault.at_parameter(fault.place.removeprefix("/"), fault.code, fault.detail) for fault in found]
        ) from None


def faults_of(
    error: ValidationError, document: object, *, known: type[BaseModel], under: Sequence[str | int] = ()
) -> list[Fault]:
    """What pydantic found first, each at its place in the document, which lies `under` a place of the body."""
    details = [each for each in error.errors(include_input=False, include_url=False) if not _echoes(each, error)]
    return [
        Fault(pointer([*under, *_path(found["loc"], document, found["type"])]), found["type"], _say(found, known))
        for found in details[:FAULTS_TOLD]
    ]


def _echoes(found: ErrorDetails, error: ValidationError) -> bool:
    """A list that is too short because its items are wrong: those are told already."""
    place = found["loc"]
    return found["type"] == "too_short" and any(
        len(each["loc"]) > len(place) and each["loc"][: len(place)] == place for each in error.errors()
    )


def _path(location: Sequence[str | int], document: object, kind: str) -> Iterator[str | int]:
    """Leaves out what pydantic adds to a place, such as the tag of a union."""
    here: Any = document
    for at, part in enumerate(location):
        is_there = (isinstance(here, dict) and part in here) or (
            isinstance(here, list) and isinstance(part, int) and part < len(here)
        )
        if is_there:
            here = here[part]
            yield part
        elif kind == "missing" and at == len(location) - 1:
            yield part


def _say(found: ErrorDetails, known: type[BaseModel]) -> str:
    match found["type"]:
        case "extra_forbidden" if issubclass(known, Body) and found["loc"][0] in known.refused:
            return known.refused[str(found["loc"][0])]
        case "extra_forbidden" if len(found["loc"]) == 1:
            return f"unknown; known are: {', '.join(_names(known)) or 'none'}"
        case "extra_forbidden":
            return "unknown"
        case _:
            return worded(found)


def _names(known: type[BaseModel]) -> list[str]:
    by_alias = not issubclass(known, Query)
    return [(field.alias if by_alias else None) or name for name, field in known.model_fields.items()]


def _check_tree(document: object) -> None:
    level = _containers([document])
    for _ in range(DEPTH_LIMIT):
        level = _containers(child for holder in level for child in _children(holder))
        if not level:
            return
    raise Malformed(f"the body is nested deeper than {DEPTH_LIMIT} levels", code="TOO_DEEP")


def _containers(values: Iterable[object]) -> list[object]:
    kept: list[object] = []
    for value in values:
        if isinstance(value, str) and _NUL in value:
            raise Unprocessable([Fault("", "nul", "text must not hold NUL (\\u0000)")])
        if isinstance(value, dict | list):
            kept.append(value)
    return kept


def _children(holder: object) -> list[object]:
    match holder:
        case dict():
            return [*holder.keys(), *holder.values()]
        case list():
            return holder
    return []
