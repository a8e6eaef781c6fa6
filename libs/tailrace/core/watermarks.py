"""Values of a cursor column as text that sorts as the values do: so they stand in keys, positions and watermarks.

Every value that a column of numbers or times can hold has such a text, `infinity` and years before Christ included.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal

from tailrace.core.rows import ColumnKind

CURSOR_KINDS = frozenset({ColumnKind.INTEGER, ColumnKind.DECIMAL, ColumnKind.FLOAT, ColumnKind.TIMESTAMP})

_LOWEST, _HIGHEST, _ABOVE_ALL = "!", "}", "~"
_EXPONENT_BIAS = 500_000
_EXPONENT_DIGITS = 6
_LAST_YEAR = 999_999
_NANOSECOND_DIGITS = 9
_EXACT = Context(prec=1000)
_TURNED = str.maketrans("0123456789", "9876543210")
_BEFORE_CHRIST = " BC"
_TIME_MARK = "T"


@dataclass(frozen=True, slots=True)
class Watermark:
    """The sortable value up to which all rows were settled, None where there is none, and when that was looked up."""

    value: str | None
    looked_at: datetime


def sortable(kind: ColumnKind, value: object) -> str:
    """The text of a value of a block; not NULL."""
    return _sortable_time(str(value)) if kind is ColumnKind.TIMESTAMP else _sortable_number(Decimal(str(value)))


def readable(kind: ColumnKind, text: str) -> str:
    """The value that a sortable text stands for, as a warehouse reads it."""
    if kind is ColumnKind.TIMESTAMP:
        return _readable_time(text)
    number = _number(text)
    if not number.is_finite():
        return str(number)
    return str(int(number)) if kind is ColumnKind.INTEGER else f"{number:f}"


def is_of_kind(kind: ColumnKind, text: str) -> bool:
    """Whether a sortable text stands for a value that a column of that kind can hold."""
    if text in {_LOWEST, _HIGHEST}:
        return True
    return _TIME_MARK in text if kind is ColumnKind.TIMESTAMP else _TIME_MARK not in text


def set_back(kind: ColumnKind, text: str, by: float) -> str:
    """The text that lies so many seconds or units before; the same where none does."""
    if kind is not ColumnKind.TIMESTAMP:
        number = _number(text)
        return _sortable_number(_EXACT.subtract(number, Decimal(str(by)))) if number.is_finite() else text
    try:
        moment = datetime.fromisoformat(_readable_time(text)[:26])
        return _sortable_time((moment - timedelta(seconds=by)).isoformat())
    except (ValueError, OverflowError):
        return text


def sortable_moment(moment: datetime) -> str:
    """The text of a moment, in UTC."""
    return _sortable_time(moment.astimezone(UTC).replace(tzinfo=None).isoformat())


def _sortable_number(number: Decimal) -> str:
    if number.is_nan():
        return _ABOVE_ALL
    if number.is_infinite():
        return _HIGHEST if number > 0 else _LOWEST
    if not number:
        return "1"
    exponent = f"{number.adjusted() + _EXPONENT_BIAS:0{_EXPONENT_DIGITS}d}"
    digits = "".join(map(str, number.as_tuple().digits)).rstrip("0")
    return f"2{exponent}{digits}" if number > 0 else f"0{(exponent + digits).translate(_TURNED)}~"


def _number(text: str) -> Decimal:
    match text[0]:
        case "~":
            return Decimal("NaN")
        case "}":
            return Decimal("Infinity")
        case "!":
            return Decimal("-Infinity")
        case "1":
            return Decimal(0)
        case "2":
            sign, rest = "", text[1:]
        case _:
            sign, rest = "-", text[1:-1].translate(_TURNED)
    exponent, digits = int(rest[:_EXPONENT_DIGITS]) - _EXPONENT_BIAS, rest[_EXPONENT_DIGITS:]
    return Decimal(f"{sign}{digits}E{exponent - len(digits) + 1}")


def _sortable_time(text: str) -> str:
    if text.endswith("infinity"):
        return _LOWEST if text.startswith("-") else _HIGHEST
    before_christ = text.endswith(_BEFORE_CHRIST)
    date, _, time = text.removesuffix(_BEFORE_CHRIST).removesuffix("Z").partition("T")
    year, _, day = date.partition("-")
    seconds, _, fraction = (time or "00:00:00").partition(".")
    era, ordinal = ("0", _LAST_YEAR - int(year)) if before_christ else ("1", int(year))
    return f"{era}{ordinal:06d}-{day}T{seconds}.{fraction.ljust(_NANOSECOND_DIGITS, '0')}"


def _readable_time(text: str) -> str:
    if text in {_LOWEST, _HIGHEST}:
        return "infinity" if text == _HIGHEST else "-infinity"
    before_christ, ordinal, rest = text[0] == "0", int(text[1:7]), text[7:].rstrip("0").rstrip(".")
    year = _LAST_YEAR - ordinal if before_christ else ordinal
    return f"{year:04d}{rest}{_BEFORE_CHRIST if before_christ else ''}"
