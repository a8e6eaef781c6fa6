"""The filters of templates: a closed list, the same result at any time and place, and no result without bounds.

They follow Liquid, but for numbers, which are decimal and exact, and for `date`, which reads ISO 8601 and knows no now.
"""

import operator
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal, DivisionByZero, InvalidOperation
from functools import wraps
from typing import Any
from urllib.parse import quote_plus, unquote_plus

import orjson
from liquid.undefined import Undefined

from tailrace.mapping.values import Mismatch, parsed, to_number, to_text

TEXT_LIMIT = 65_536
"""Characters of any text that a filter makes, and entries of any list."""

_EXACT = Context(prec=60, rounding=ROUND_HALF_UP)
_PLACES_LIMIT = 30
_DIRECTIVE = re.compile(r"%(-?[A-Za-z%])")


class Number(Decimal):
    """A decimal that is written with all its digits and without an exponent."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"{self:f}"


class Document(dict[str, object]):
    """An object of JSON; written out, it is JSON again."""

    def __str__(self) -> str:
        return orjson.dumps(self, default=lambda digits: orjson.Fragment(str(digits))).decode()


def number(value: object) -> int | Number:
    """A value as a number to reckon with.

    :raises Mismatch: it is none.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, Decimal):
        return Number(value)
    digits = to_number(None if value is None or isinstance(value, Undefined) else value)
    return int(digits) if digits.lstrip("-").isdigit() else Number(digits)


def _text(value: object) -> str:
    if isinstance(value, Undefined):
        raise Mismatch("a value, or a default, where a path of the template leads nowhere")
    return "" if value is None else to_text(value) if not isinstance(value, Decimal) else str(value)


def _whole(value: object) -> int:
    told = number(value)
    if told != int(told):
        raise Mismatch("a whole number")
    return int(told)


def _bounded(size: int) -> None:
    if size > TEXT_LIMIT:
        raise Mismatch(f"no more than {TEXT_LIMIT} characters in a template's texts")


def _of_text(make: Callable[..., object]) -> Callable[..., object]:
    """A filter of text, whose arguments are text too."""

    @wraps(make)
    def filtered(value: object, *arguments: object) -> object:
        made = make(_text(value), *map(_text, arguments))
        _bounded(len(made) if isinstance(made, str | list) else 0)
        return made

    return filtered


def _arithmetic(exact: Callable[[Any, Any], Any], whole: Callable[[Any, Any], Any]) -> Callable[..., object]:
    """A filter of two numbers; `whole` is for two whole ones."""

    def reckoned(value: object, other: object) -> int | Number:
        left, right = number(value), number(other)
        try:
            if isinstance(left, int) and isinstance(right, int):
                made = whole(left, right)
                _bounded(made.bit_length())
                return int(made)
            return Number(exact(Decimal(left), Decimal(right)))
        except (ZeroDivisionError, DivisionByZero, InvalidOperation):
            raise Mismatch("another number to divide by than 0, and no more than 60 digits") from None

    return reckoned


def _abs(value: object) -> int | Number:
    size = number(value)
    return Number(abs(size)) if isinstance(size, Number) else abs(size)


def _rounded(value: object, places: object = 0) -> int | Number:
    told, digits = number(value), _whole(places)
    if not 0 <= digits <= _PLACES_LIMIT:
        raise Mismatch(f"0 to {_PLACES_LIMIT} places to round to")
    made = Decimal(told).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP, _EXACT)
    return Number(made) if digits else int(made)


def _to_whole(rounding: str) -> Callable[[object], int]:
    return lambda value: int(Decimal(number(value)).to_integral_value(rounding, _EXACT))


def _slice(value: object, start: object, length: object = 1) -> object:
    held = value if isinstance(value, list) else _text(value)
    first, size = _whole(start), _whole(length)
    first = max(first + len(held), 0) if first < 0 else first
    return held[first : first + max(size, 0)]


def _replace(text: str, old: str, new: str = "") -> str:
    _bounded(len(text) + (text.count(old) if old else len(text) + 1) * len(new))
    return text.replace(old, new)


def _join(value: object, between: object = " ") -> str:
    parts = [_text(each) for each in value] if isinstance(value, list) else [_text(value)]
    middle = _text(between)
    _bounded(sum(map(len, parts)) + len(parts) * len(middle))
    return middle.join(parts)


def _split(text: str, at: str) -> list[str]:
    return [each for each in (text.split(at) if at else list(text)) if each] if at in {"", " "} else text.split(at)


def _truncated(value: object, length: object = 50, end: object = "...") -> str:
    text, tail, size = _text(value), _text(end), max(_whole(length), 0)
    return text if len(text) <= size else text[: max(size - len(tail), 0)] + tail


def _url_encoded(text: str) -> str:
    return quote_plus(text)


def _url_decoded(text: str) -> str:
    return unquote_plus(text)


def _default(value: object, other: object = "") -> object:
    is_empty = isinstance(value, Undefined) or value is None or value is False or value in ("", [], {})
    return other if is_empty else value


def _size(value: object) -> int:
    return len(value) if isinstance(value, str | list | dict) else len(_text(value))


def _end(at: int) -> Callable[[object], object]:
    return lambda value: (value[at] if value else None) if isinstance(value, list) else None


def _date(value: object, written: object) -> str:
    """A moment in UTC as a format of the directives known here says it."""
    moment = parsed(_text(value), "a date or a time in ISO 8601")

    def told(found: re.Match[str]) -> str:
        directive = found[1]
        write = _DIRECTIVES.get(directive.lstrip("-"))
        if write is None:
            raise Mismatch(f"a date's format of these: {', '.join(f'%{each}' for each in sorted(_DIRECTIVES))}")
        text = write(moment)
        return (text.lstrip("0") or "0") if directive.startswith("-") else text

    made = _DIRECTIVE.sub(told, _text(written))
    _bounded(len(made))
    return made


_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_DIRECTIVES: Mapping[str, Callable[[datetime], str]] = {
    "Y": lambda moment: f"{moment.year:04}",
    "y": lambda moment: f"{moment.year % 100:02}",
    "m": lambda moment: f"{moment.month:02}",
    "d": lambda moment: f"{moment.day:02}",
    "H": lambda moment: f"{moment.hour:02}",
    "I": lambda moment: f"{(moment.hour + 11) % 12 + 1:02}",
    "M": lambda moment: f"{moment.minute:02}",
    "S": lambda moment: f"{moment.second:02}",
    "L": lambda moment: f"{moment.microsecond // 1000:03}",
    "p": lambda moment: "AM" if moment.hour < 12 else "PM",  # noqa: PLR2004 - noon
    "j": lambda moment: f"{moment.timetuple().tm_yday:03}",
    "B": lambda moment: _MONTHS[moment.month - 1],
    "b": lambda moment: _MONTHS[moment.month - 1][:3],
    "A": lambda moment: _DAYS[moment.weekday()],
    "a": lambda moment: _DAYS[moment.weekday()][:3],
    "F": lambda moment: moment.date().isoformat(),
    "T": lambda moment: f"{moment.hour:02}:{moment.minute:02}:{moment.second:02}",
    "%": lambda _: "%",
}

FILTERS: Mapping[str, Callable[..., object]] = {
    "abs": _abs,
    "append": _of_text(lambda text, more: text + more),
    "at_least": lambda value, other: max(number(value), number(other)),
    "at_most": lambda value, other: min(number(value), number(other)),
    "capitalize": _of_text(lambda text: text[:1].upper() + text[1:].lower()),
    "ceil": _to_whole(ROUND_CEILING),
    "date": _date,
    "default": _default,
    "divided_by": _arithmetic(_EXACT.divide, operator.floordiv),
    "downcase": _of_text(lambda text: text.lower()),
    "first": _end(0),
    "floor": _to_whole(ROUND_FLOOR),
    "join": _join,
    "last": _end(-1),
    "lstrip": _of_text(lambda text: text.lstrip()),
    "minus": _arithmetic(_EXACT.subtract, operator.sub),
    "modulo": _arithmetic(_EXACT.remainder, operator.mod),
    "plus": _arithmetic(_EXACT.add, operator.add),
    "prepend": _of_text(lambda text, more: more + text),
    "remove": _of_text(lambda text, old: text.replace(old, "")),
    "remove_first": _of_text(lambda text, old: text.replace(old, "", 1)),
    "replace": _of_text(_replace),
    "replace_first": _of_text(lambda text, old, new="": text.replace(old, new, 1)),
    "round": _rounded,
    "rstrip": _of_text(lambda text: text.rstrip()),
    "size": _size,
    "slice": _slice,
    "split": _of_text(_split),
    "squish": _of_text(lambda text: " ".join(text.split())),
    "strip": _of_text(lambda text: text.strip()),
    "times": _arithmetic(_EXACT.multiply, operator.mul),
    "truncate": _truncated,
    "upcase": _of_text(lambda text: text.upper()),
    "url_decode": _of_text(_url_decoded),
    "url_encode": _of_text(_url_encoded),
}
"""What may stand behind a `|`, by name."""
