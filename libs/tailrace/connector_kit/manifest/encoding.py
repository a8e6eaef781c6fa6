"""How values become the vendor's: numbers keep every digit, and what the vendor does not take is written otherwise."""

import json
from datetime import UTC, datetime
from typing import Literal

import orjson

from tailrace.connector_kit.manifest.parts import Part

_DIGITS_OF_A_DATE = 8


class Digits(str):
    """A number as it was written."""

    __slots__ = ()


class Encoding(Part):
    """What becomes of the values that vendors differ in; text stays text.

    `key` is the key where it stands alone, or among the fields of an identity or by which ids are looked up, of
    which a flag stays what it is.
    The fields in `epoch_s` become seconds since 1970: texts of ISO 8601, in UTC where they say nothing.
    """

    null: Literal["null", "empty_text", "left_out"] = "null"
    boolean: Literal["boolean", "text"] = "boolean"
    number: Literal["number", "text"] = "number"
    array: Literal["array", "joined_by_semicolon", "text"] = "array"
    nested: Literal["object", "text"] = "object"
    key: Literal["as_it_is", "text"] = "as_it_is"
    epoch_s: tuple[str, ...] = ()

    def fields(self, body: bytes) -> dict[str, object]:
        """The fields of a row's body, in its order, each as the vendor takes it.

        :raises ValueError: a text is no moment; names the field, never the value.
        """
        row = json.loads(body, parse_float=Digits, parse_int=Digits)
        leaves_out = self.null == "left_out"
        made = {name: self._value(value) for name, value in row.items() if value is not None or not leaves_out}
        for name in self.epoch_s:
            if isinstance(text := row.get(name), str) and not isinstance(text, Digits):
                made[name] = _seconds(name, text)
        return made

    def _value(self, value: object) -> object:  # noqa: PLR0911 - a kind of value each
        match value:
            case None:
                return "" if self.null == "empty_text" else None
            case bool():
                return str(value).lower() if self.boolean == "text" else value
            case Digits():
                return str(value) if self.number == "text" else value
            case list() if self.array == "joined_by_semicolon":
                return ";".join(as_text(each) for each in value)
            case list() if self.array == "text":
                return dumped(value).decode()
            case dict() if self.nested == "text":
                return dumped(value).decode()
        return value


def moment_of(text: str) -> datetime:
    """The moment that a text of ISO 8601 says, in UTC where it says nothing.

    :raises ValueError: it says none; a row of digits is a date at most, not seconds or milliseconds of an epoch.
    """
    text = text.strip()
    if len(text) > _DIGITS_OF_A_DATE and text.isdigit():
        raise ValueError("a number is no date or time")
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def as_text(value: object) -> str:
    """A value as text: of a text itself, of anything else its JSON; nothing is the empty text."""
    if value is None:
        return ""
    return str(value) if isinstance(value, str) else dumped(value).decode()


def dumped(document: object) -> bytes:
    """A document as JSON, numbers as they were written."""
    return orjson.dumps(document, default=_digits, option=orjson.OPT_PASSTHROUGH_SUBCLASS)


def _seconds(name: str, text: str) -> Digits:
    try:
        return Digits(int(moment_of(text).timestamp()))
    except (ValueError, OverflowError):
        raise ValueError(f"{name}: the value is no date or time of ISO 8601") from None


def _digits(value: object) -> orjson.Fragment:
    if isinstance(value, Digits):
        return orjson.Fragment(str(value))
    raise TypeError(type(value).__name__)
