"""One value made another kind: exact or refused, the same for casts and for what fields need.

A value is as its column's kind says: decimals, times and JSON are text. Digits are never rounded. A time with a zone
becomes UTC, a day is the day in UTC, and of a second six decimal places are kept.
"""

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from math import isfinite

import orjson

Convert = Callable[[object], object]
"""Makes one value another, or raises `Mismatch`; it is never called with None."""

DIGITS_LIMIT = 400
"""Characters of a number that is read from text, and digits of one that is written out."""

_NUMBER = re.compile(r"([+-]?)([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE]([+-]?[0-9]{1,3}))?")
_WHOLE = re.compile(r"-?[0-9]+")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]{1,9})?)?([Zz]| ?[+-][0-9]{2}(:?[0-9]{2})?)?"
)
_TRUE = frozenset({"true", "t", "yes", "y", "on", "1"})
_FALSE = frozenset({"false", "f", "no", "n", "off", "0"})


class Mismatch(ValueError):
    """A value is not of the kind that is needed. `str()` says what was needed, never the value."""


def to_text(value: object) -> str:
    """A value as text: true and false in small letters, numbers as JSON writes them."""
    match value:
        case str():
            return value
        case bool():
            return str(value).lower()
        case float() if not isfinite(value):
            raise Mismatch("a finite number")
    return orjson.dumps(value, default=str).decode() if isinstance(value, float | dict | list) else str(value)


def to_number(value: object) -> str:
    """The digits of a number, as JSON takes them; text may have blanks around it, a sign and an exponent."""
    match value:
        case bool():
            raise Mismatch("a number")
        case float() if not isfinite(value):
            raise Mismatch("a finite number")
    text = to_text(value).strip()
    found = _NUMBER.fullmatch(text) if len(text) <= DIGITS_LIMIT else None
    if found is None:
        raise Mismatch("a number")
    sign, digits, exponent = found.groups()
    before, _, after = digits.partition(".")
    written = (before.lstrip("0") or "0") + (f".{after}" if after else "") + (f"e{int(exponent)}" if exponent else "")
    return ("-" if sign == "-" else "") + written


def to_integer(value: object) -> str:
    """The digits of a whole number; 12.0 is one, 12.5 is none."""
    if isinstance(value, bool):
        return str(int(value))
    try:
        text = to_number(value)
    except Mismatch:
        raise Mismatch("a whole number") from None
    if _WHOLE.fullmatch(text):
        return text
    number = Decimal(text)
    if number.adjusted() > DIGITS_LIMIT or number != number.to_integral_value():
        raise Mismatch("a whole number")
    return f"{number:f}".partition(".")[0]


def to_boolean(value: object) -> bool:
    """True or false, from the words and digits that databases write for them."""
    if isinstance(value, bool):
        return value
    word = to_text(value).strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise Mismatch("true or false")


def to_date(value: object) -> str:
    """A day such as 2026-01-31, of a day or of a moment, which is looked at in UTC."""
    return parsed(value, "a date such as 2026-01-31").date().isoformat()


def to_datetime(value: object) -> str:
    """A moment such as 2026-01-31T12:00:00Z; a day begins at midnight, and without a zone there is no Z."""
    moment = parsed(value, "a date and time such as 2026-01-31T12:00:00Z")
    return moment.replace(tzinfo=None).isoformat() + ("Z" if moment.tzinfo is not None else "")


def to_json(value: object) -> str:
    """JSON text: text is read as JSON, any other value is written as it."""
    if not isinstance(value, str):
        if isinstance(value, float) and not isfinite(value):
            raise Mismatch("a finite number")
        return orjson.dumps(value, default=str).decode()
    try:
        orjson.loads(value)
    except orjson.JSONDecodeError:
        raise Mismatch("JSON") from None
    return value.strip()


def from_json(convert: Convert) -> Convert:
    """The same for JSON text: of a number, a text, true or false, its value is taken, and null is NULL."""

    def converted(value: object) -> object:
        try:
            held = json.loads(str(value), parse_int=str, parse_float=str)
        except json.JSONDecodeError:
            raise Mismatch("JSON") from None
        if held is None:
            return None
        return convert(str(value) if isinstance(held, dict | list) else held)

    return converted


def blank_is_null(convert: Convert) -> Convert:
    """The same, but for text without a visible character, which is NULL."""

    def converted(value: object) -> object:
        return None if isinstance(value, str) and not value.strip() else convert(value)

    return converted


def parsed(value: object, needed: str) -> datetime:
    """The moment that ISO 8601 text names, in UTC where it has a zone.

    :raises Mismatch: with what is needed.
    """
    text = value.strip() if isinstance(value, str) else ""
    try:
        if _DAY.fullmatch(text):
            day = date.fromisoformat(text)
            return datetime(day.year, day.month, day.day)  # noqa: DTZ001 - a day has no zone
        if _MOMENT.fullmatch(text):
            moment = datetime.fromisoformat(text.upper().replace(" +", "+").replace(" -", "-").replace(",", "."))
            return moment if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise Mismatch(needed)
