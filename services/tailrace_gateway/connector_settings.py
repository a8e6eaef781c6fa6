"""Settings of connectors on their way in: checked, and parted from their secrets."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any
from urllib.parse import urlsplit

import orjson
from pydantic import BaseModel, SecretStr, ValidationError

from tailrace.connector_kit import registry
from tailrace.core.errors import Invalid
from tailrace.core.pointers import pointer, put
from tailrace.store.connections import ConnectionKind
from tailrace_gateway.problems import Fault, Unprocessable
from tailrace_gateway.reading import faults_of

HIDDEN = "***"
"""Stands for a secret that is kept; given back in an update, it keeps it."""

_MEMBER = "settings"
_ADDRESS = re.compile(
    r"(^|_)(ur[il]|hosts?|hostname|address|endpoint|server|port|domain|subdomain|account|instance|region|site|proxy)(_|$)",
    re.IGNORECASE,
)
# Shorter values, such as a port, stand in messages by chance.
_TELLING_LENGTH = 4


@dataclass(frozen=True, slots=True)
class Parted:
    """Settings that may be shown, secrets by JSON Pointer, and the pointers of stored secrets to keep."""

    shown: Mapping[str, Any]
    secrets: Mapping[str, str]
    kept: tuple[str, ...]


def settings_type_of(kind: ConnectionKind, connector: str) -> type[BaseModel]:
    """The model of a connector's settings.

    :raises Unprocessable: there is no such connector, or it cannot be loaded.
    """
    try:
        if kind is ConnectionKind.DESTINATION:
            return registry.destination_type(connector).settings_type
        return registry.warehouse_type(connector).settings_type
    except Invalid as error:
        known = registry.names("destination" if kind is ConnectionKind.DESTINATION else "warehouse")
        absent = f"no such {kind} connector; there are {', '.join(known)}"
        raise Unprocessable(
            [Fault("/connector", "connector", error.message if connector in known else absent)]
        ) from None


def secrets_in(shown: Mapping[str, Any], whole: Mapping[str, Any]) -> dict[str, str]:
    """The secrets of stored settings, by JSON Pointer, from the settings without and with them."""
    values = dict(_leaves(whole))
    return {place: str(values[place]) for place, value in _leaves(shown) if value == HIDDEN and place in values}


def part(settings_type: type[BaseModel], given: Mapping[str, Any], known: Mapping[str, str]) -> Parted:
    """The given settings, in which `***` stands for a known secret of the same place.

    :raises Unprocessable: names each setting that cannot work, never its value.
    """
    hidden = {place for place, value in _leaves(given) if value == HIDDEN}
    _refuse(hidden - known.keys(), "give the secret itself: *** only stands for one that is kept already")
    filled = put(given, {place: known[place] for place in hidden})
    model = _validated(settings_type, filled)
    secrets = {
        place: value.get_secret_value()
        for place, value in _leaves(model.model_dump(exclude_unset=True))
        if isinstance(value, SecretStr)
    }
    _refuse(hidden - secrets.keys(), "*** stands for a secret, and this is none")
    shown = put(model.model_dump(mode="json", exclude_unset=True), dict.fromkeys(secrets, HIDDEN))
    fresh = {place: value for place, value in secrets.items() if place not in hidden}
    return Parted(shown, fresh, tuple(sorted(hidden)))


def require_same_address(before: Mapping[str, Any], given: Mapping[str, Any], known: Mapping[str, str]) -> None:
    """Return if no kept secret would be sent elsewhere than before.

    `before` are the stored settings with their secrets; in the given ones `***` stands for a known secret.

    :raises Unprocessable: names each secret that has to be given again.
    """
    hidden = {place for place, value in _leaves(given) if value == HIDDEN} & known.keys()
    filled = put(given, {place: known[place] for place in hidden})
    old, new = _addresses(before, known), _addresses(filled, known)
    moved = sorted(place for place in old.keys() | new.keys() if old.get(place) != new.get(place))
    if moved and hidden:
        where = ", ".join(moved)
        _refuse(hidden, f"give this secret again: {where} changed, and a kept secret is not sent to a new address")


def require_tls(before: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Return if no address among a destination's settings is one of plain http, but those that it had before.

    :raises Unprocessable: names each of them.
    """
    had = dict(_leaves(before))
    plain = {place for place, value in _leaves(given) if _is_plain_http(place, value) and had.get(place) != value}
    _refuse(plain, "must begin with https://: this installation sends nothing over plain http", code="plain_http")


def _is_plain_http(place: str, value: object) -> bool:
    return (
        isinstance(value, str) and value.lower().startswith("http://") and any(map(_ADDRESS.search, place.split("/")))
    )


def _addresses(settings: Mapping[str, Any], secrets: Mapping[str, str]) -> dict[str, object]:
    """What decides where requests go, by place: of URLs only up to the port, of other secrets nothing."""
    found: dict[str, object] = {}
    for place, value in _leaves(settings):
        if isinstance(value, str) and "://" in value:
            found[place] = _origin(value)
        elif place not in secrets and value is not None and any(map(_ADDRESS.search, place.split("/"))):
            found[place] = value
    return found


def _origin(url: str) -> object:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port
    except ValueError:
        return url


def _validated(settings_type: type[BaseModel], filled: Mapping[str, Any]) -> BaseModel:
    try:
        return settings_type.model_validate_json(orjson.dumps(filled))
    except ValidationError as error:
        faults = faults_of(error, filled, known=settings_type, under=(_MEMBER,))
    values = {value for _, value in _leaves(filled) if isinstance(value, str) and len(value) >= _TELLING_LENGTH}
    values -= set(_words(settings_type.model_json_schema()))
    raise Unprocessable(
        [
            Fault(fault.place, fault.code, "cannot work with the value given")
            if any(value in fault.detail for value in values)
            else fault
            for fault in faults
        ]
    )


def _words(schema: object) -> Iterator[str]:
    """The values that a schema itself names: who gives one of them has given no secret."""
    if isinstance(schema, Mapping):
        yield from (word for word in (schema.get("const"), *schema.get("enum", ())) if isinstance(word, str))
        yield from chain.from_iterable(map(_words, schema.values()))
    elif isinstance(schema, list):
        yield from chain.from_iterable(map(_words, schema))


def _refuse(places: set[str], why: str, *, code: str = "hidden") -> None:
    if places:
        raise Unprocessable([Fault(f"/{_MEMBER}{place}", code, why) for place in sorted(places)])


def _leaves(document: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str, object]]:
    match document:
        case Mapping():
            for name, value in document.items():
                yield from _leaves(value, (*path, str(name)))
        case list() | tuple():
            for at, value in enumerate(document):
                yield from _leaves(value, (*path, at))
        case _:
            yield pointer(path), document
