"""Which kinds of values become which: by a cast, and because a field needs it."""

from collections.abc import Mapping
from dataclasses import dataclass

from tailrace.connector_kit.field_kinds import FieldKind
from tailrace.core.mappings import Cast
from tailrace.core.rows import ColumnKind
from tailrace.mapping.values import (
    Convert,
    blank_is_null,
    from_json,
    to_boolean,
    to_date,
    to_datetime,
    to_integer,
    to_json,
    to_number,
    to_text,
)

_NUMBERS = frozenset({ColumnKind.INTEGER, ColumnKind.FLOAT, ColumnKind.DECIMAL})
_UNSURE = frozenset({ColumnKind.TEXT, ColumnKind.JSON, ColumnKind.OTHER})
_ALL = frozenset(ColumnKind)


@dataclass(frozen=True, slots=True)
class Conversion:
    """What makes a value of some kinds one of `kind`; other kinds never become one."""

    convert: Convert
    kind: ColumnKind
    takes: frozenset[ColumnKind]

    def of(self, kind: ColumnKind) -> Convert:
        """The conversion of values of this kind, which is one of `takes`."""
        if self.convert is to_text or self.convert is to_json:
            return self.convert
        return blank_is_null(from_json(self.convert) if kind is ColumnKind.JSON else self.convert)


_TIMES = _UNSURE | {ColumnKind.TIMESTAMP}
CASTS: Mapping[Cast, Conversion] = {
    Cast.STRING: Conversion(to_text, ColumnKind.TEXT, _ALL),
    Cast.INTEGER: Conversion(to_integer, ColumnKind.DECIMAL, _UNSURE | _NUMBERS | {ColumnKind.BOOLEAN}),
    Cast.NUMBER: Conversion(to_number, ColumnKind.DECIMAL, _UNSURE | _NUMBERS),
    Cast.BOOLEAN: Conversion(to_boolean, ColumnKind.BOOLEAN, _UNSURE | {ColumnKind.BOOLEAN, ColumnKind.INTEGER}),
    Cast.DATE: Conversion(to_date, ColumnKind.TIMESTAMP, _TIMES),
    Cast.DATETIME: Conversion(to_datetime, ColumnKind.TIMESTAMP, _TIMES),
    Cast.JSON: Conversion(to_json, ColumnKind.JSON, _ALL - {ColumnKind.TIMESTAMP}),
}

_FIELD_CASTS = {
    FieldKind.INTEGER: Cast.INTEGER,
    FieldKind.NUMBER: Cast.NUMBER,
    FieldKind.BOOLEAN: Cast.BOOLEAN,
    FieldKind.DATE: Cast.DATE,
    FieldKind.TIMESTAMP: Cast.DATETIME,
}
# A number in a field of times counts from some day that the destination chose; we cannot know better.
_AS_THEY_ARE: Mapping[FieldKind, frozenset[ColumnKind]] = {
    FieldKind.INTEGER: frozenset({ColumnKind.INTEGER, ColumnKind.OTHER}),
    FieldKind.NUMBER: _NUMBERS | {ColumnKind.OTHER},
    FieldKind.BOOLEAN: frozenset({ColumnKind.BOOLEAN, ColumnKind.OTHER}),
    FieldKind.DATE: _NUMBERS | {ColumnKind.OTHER},
    FieldKind.TIMESTAMP: _NUMBERS | {ColumnKind.TIMESTAMP, ColumnKind.OTHER},
}
_NEVER: Mapping[FieldKind, frozenset[ColumnKind]] = {
    FieldKind.INTEGER: frozenset({ColumnKind.BOOLEAN, ColumnKind.TIMESTAMP}),
    FieldKind.NUMBER: frozenset({ColumnKind.BOOLEAN, ColumnKind.TIMESTAMP}),
    FieldKind.BOOLEAN: frozenset({ColumnKind.FLOAT, ColumnKind.DECIMAL, ColumnKind.TIMESTAMP}),
    FieldKind.DATE: frozenset({ColumnKind.BOOLEAN}),
    FieldKind.TIMESTAMP: frozenset({ColumnKind.BOOLEAN}),
}


def never_fits(kind: ColumnKind, field: FieldKind) -> bool:
    """Whether no value of this kind is one that the field takes."""
    return kind in _NEVER.get(field, ())


def needed(kind: ColumnKind, field: FieldKind) -> Conversion | None:
    """What has to be done to values of this kind for the field; None where they go as they are."""
    cast = _FIELD_CASTS.get(field)
    if cast is None or kind in _AS_THEY_ARE[field] or never_fits(kind, field):
        return None
    return CASTS[cast]
