"""Templates: JSON, and texts for addresses and headers, with holes that a row fills.

A template is parsed before a row is seen, and what fills a hole is a value and never read again: in JSON it is one
string or one value, in an address it is quoted, in a header it is refused where HTTP does not allow it.
"""

import hashlib
import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TypeAlias

from pydantic import JsonValue

from tailrace.connector_kit.manifest.encoding import Digits, as_text, dumped, moment_of

Template: TypeAlias = JsonValue
"""JSON in which texts have holes.

A text that is one hole, `$key` or `$fields.email|lower`, is filled with the value as it is. Other texts have their
holes in braces, `Hello {fields.name|trim}`, and stay texts; `{{` and `}}` stand for braces, `$$` at the beginning for a
dollar sign. The name `*` takes in a whole object, but for the names that stand beside it.
"""


class Slot(StrEnum):
    """What a hole is filled with."""

    KEY = "$key"  # the key's value
    KEY_NAME = "$key_name"  # the name of the key's field
    FIELDS = "$fields"  # every mapped field; `$fields.email` is one of them
    OTHERS = "$others"  # every mapped field but the key, or but the fields of an identity
    KNOWN = "$known"  # the mapped fields that the manifest knows by name
    CUSTOM = "$custom"  # the other mapped fields, but those of an identity
    IDENTITY = "$identity"  # the mapped fields of an identity that have a value, the key among them
    TRACE = "$trace"  # an id of ours for the row in its batch
    ULID = "$ulid"  # a ULID for the row, the same whenever its batch is sent again
    FOUND = "$found"  # the vendor's own id, looked up by the key
    OBJECT = "$object"  # the object's name
    OPERATION = "$operation"  # upsert, insert, update or delete
    ALL_KEYS = "$all_keys"  # in an address, the keys of all rows with commas between them
    ALL_FOUND = "$all_found"  # the same of the vendor's own ids
    SETTINGS = "$settings"  # with a name, `$settings.project_id`: what the connection has set
    BATCH = "$batch"  # an id of ours for the batch, the same whenever the same rows are sent again


class Filter(StrEnum):
    """What is done with a value on its way; null passes through."""

    TEXT = "text"
    LOWER = "lower"
    UPPER = "upper"
    TRIM = "trim"
    DIGITS = "digits"  # the digits alone, as of a phone number
    NUMBER = "number"  # a text that is a number, as a number
    JSON = "json"  # the value as JSON in a text
    BASE64 = "base64"
    SHA256 = "sha256"  # in small hexadecimal digits
    MD5 = "md5"
    SOQL = "soql"  # a literal of Salesforce's query language
    EPOCH_S = "epoch_s"  # of a date or a time, UTC where it says nothing
    EPOCH_MS = "epoch_ms"
    ISO = "iso"  # the same as a text of ISO 8601, with its time zone


OF_ALL_ROWS = frozenset({Slot.ALL_KEYS, Slot.ALL_FOUND})
"""What an address may hold of all rows."""

OF_THE_BATCH = frozenset({Slot.OBJECT, Slot.KEY_NAME, Slot.OPERATION, Slot.SETTINGS, Slot.BATCH}) | OF_ALL_ROWS
"""What is the same for every row of a batch."""

_HAVE_PARTS = frozenset({Slot.FIELDS, Slot.SETTINGS})

REFUSING = frozenset({Filter.NUMBER, Filter.EPOCH_S, Filter.EPOCH_MS, Filter.ISO})
"""Filters that do not take every value."""

_NAME = r"(?P<slot>[a-z_]+)(?:\.(?P<field>[^|{}]+))?(?P<filters>(?:\|[^|{}]*)*)"
_WHOLE = re.compile(r"\$" + _NAME)
_INNER = re.compile(_NAME)
_PIECE = re.compile(r"\{\{|\}\}|\{(?P<hole>[^{}]*)\}|(?P<odd>[{}])|(?P<text>[^{}]+)")
_IS_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Hole:
    """A place to fill: by which slot, by which field or setting of it if not by all, and through which filters."""

    slot: Slot
    field: str | None
    filters: tuple[Filter, ...]
    setting: str | None = None

    def through(self, value: object) -> object:
        """The value as it goes in.

        :raises ValueError: a filter does not take it; names the field, never the value.
        """
        for name in self.filters:
            if value is None:
                return None
            try:
                value = _FILTERS[name](value)
            except ValueError:
                raise ValueError(f"{self.field or self.slot}: the value is not what the filter {name} takes") from None
        return value


Text: TypeAlias = tuple[str | Hole, ...]


@lru_cache(maxsize=4096)
def parsed(text: str) -> Hole | Text:
    """The one hole that a text is, or its pieces.

    :raises ValueError: it has a hole that nothing fills, or a brace too many.
    """
    if text.startswith("$") and text[1:2].isalpha():
        found = _WHOLE.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is neither a slot nor a text: write $$ for a dollar sign at the beginning")
        return _hole(found)
    return pieces(text.removeprefix("$") if text.startswith("$$") else text)


@lru_cache(maxsize=4096)
def pieces(text: str) -> Text:
    """The pieces of a text with holes in braces.

    :raises ValueError: it has a hole that nothing fills, or a brace too many.
    """
    made: list[str | Hole] = []
    for piece in _PIECE.finditer(text):
        if piece["odd"]:
            raise ValueError(f"{text!r} has a brace too many: write {{{{ and }}}} for braces")
        inner = None if piece["hole"] is None else _INNER.fullmatch(piece["hole"].strip())
        if piece["hole"] is not None and inner is None:
            raise ValueError(
                f"{{{piece['hole']}}} is no hole: write a slot and filters, such as {{fields.email|lower}}"
            )
        made.append(_hole(inner) if inner else piece["text"] or piece[0][0])
    return tuple(made)


def holes(template: Template) -> Iterator[Hole]:
    """Every hole of a template.

    :raises ValueError: a text of it is wrong; says where.
    """
    yield from _holes(template, "")


def holes_of(text: str) -> Iterator[Hole]:
    """Every hole of a text with holes in braces.

    :raises ValueError: it is wrong.
    """
    yield from (piece for piece in pieces(text) if isinstance(piece, Hole))


def _holes(template: Template, place: str) -> Iterator[Hole]:
    match template:
        case str():
            try:
                found = parsed(template)
            except ValueError as error:
                raise ValueError(f"{place.strip('.')}: {error}" if place else str(error)) from None
            yield from (found,) if isinstance(found, Hole) else (each for each in found if isinstance(each, Hole))
        case Mapping():
            for name, value in template.items():
                yield from _holes(name, f"{place}.{name}")
                yield from _holes(value, f"{place}.{name}")
        case Sequence():
            for at, value in enumerate(template):
                yield from _holes(value, f"{place}.{at}")


def _hole(found: "re.Match[str]") -> Hole:
    name, field = "$" + found["slot"], found["field"]
    if name not in set(Slot):
        raise ValueError(f"there is no {name}; there are {', '.join(Slot)}")
    if field is not None and name not in _HAVE_PARTS:
        raise ValueError(f"{name} has no parts: only $fields has, such as $fields.email, and $settings")
    if field is None and name == Slot.SETTINGS:
        raise ValueError(f"{name} is filled with one of them: name it, such as $settings.project_id")
    told = [each.strip() for each in found["filters"].split("|")[1:]]
    unknown = [each for each in told if each not in set(Filter)]
    if unknown:
        raise ValueError(f"there is no filter {unknown[0]!r}; there are {', '.join(Filter)}")
    part, filters = field.strip() if field else None, tuple(Filter(each) for each in told)
    if name == Slot.SETTINGS:
        return Hole(Slot.SETTINGS, None, filters, part)
    return Hole(Slot(name), part, filters)


def _number(value: object) -> object:
    text = as_text(value).strip()
    if isinstance(value, bool) or not _IS_NUMBER.fullmatch(text):
        raise ValueError
    return Digits(text)


def _soql(value: object) -> str:
    if isinstance(value, Digits):
        return str(value)
    text = as_text(value).replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
    return f"'{text}'"


_FILTERS: Mapping[Filter, Callable[[object], object]] = {
    Filter.TEXT: as_text,
    Filter.LOWER: lambda value: as_text(value).lower(),
    Filter.UPPER: lambda value: as_text(value).upper(),
    Filter.TRIM: lambda value: as_text(value).strip(),
    Filter.DIGITS: lambda value: "".join(each for each in as_text(value) if each in "0123456789"),
    Filter.NUMBER: _number,
    Filter.JSON: lambda value: dumped(value).decode(),
    Filter.SOQL: _soql,
    Filter.BASE64: lambda value: b64encode(as_text(value).encode()).decode(),
    Filter.SHA256: lambda value: hashlib.sha256(as_text(value).encode()).hexdigest(),
    Filter.MD5: lambda value: hashlib.md5(as_text(value).encode()).hexdigest(),  # noqa: S324 - vendors know people by it
    Filter.EPOCH_S: lambda value: Digits(int(moment_of(as_text(value)).timestamp())),
    Filter.EPOCH_MS: lambda value: Digits(round(moment_of(as_text(value)).timestamp() * 1000)),
    Filter.ISO: lambda value: moment_of(as_text(value)).isoformat(),
}
