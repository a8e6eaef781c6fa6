"""One value made another kind: exact, or refused without a word of the value."""

import pytest

from tailrace.connector_kit.field_kinds import FieldKind
from tailrace.core.mappings import Cast
from tailrace.core.rows import ColumnKind
from tailrace.mapping.fits import CASTS, needed, never_fits
from tailrace.mapping.values import Mismatch

K = ColumnKind


def cast(to: Cast, value: object, kind: ColumnKind = K.TEXT) -> object:
    return CASTS[to].of(kind)(value)


@pytest.mark.parametrize(
    ("to", "value", "kind", "made"),
    [
        (Cast.STRING, 12, K.INTEGER, "12"),
        (Cast.STRING, True, K.BOOLEAN, "true"),
        (Cast.STRING, 1.5, K.FLOAT, "1.5"),
        (Cast.STRING, "1.50", K.DECIMAL, "1.50"),
        (Cast.STRING, '{"a": 1}', K.JSON, '{"a": 1}'),
        (Cast.INTEGER, " 0012 ", K.TEXT, "12"),
        (Cast.INTEGER, "12.00", K.DECIMAL, "12"),
        (Cast.INTEGER, 1e20, K.FLOAT, "100000000000000000000"),
        (Cast.INTEGER, True, K.BOOLEAN, "1"),
        (Cast.INTEGER, '"12"', K.JSON, "12"),
        (Cast.NUMBER, "+007.50", K.TEXT, "7.50"),
        (Cast.NUMBER, ".5", K.TEXT, "0.5"),
        (Cast.NUMBER, "-1e3", K.TEXT, "-1e3"),
        (Cast.NUMBER, "12345678901234567890.10", K.TEXT, "12345678901234567890.10"),
        (Cast.NUMBER, "1.50", K.JSON, "1.50"),
        (Cast.NUMBER, "null", K.JSON, None),
        (Cast.NUMBER, "  ", K.TEXT, None),
        (Cast.BOOLEAN, "Yes", K.TEXT, True),
        (Cast.BOOLEAN, "off", K.TEXT, False),
        (Cast.BOOLEAN, 1, K.INTEGER, True),
        (Cast.BOOLEAN, "false", K.JSON, False),
        (Cast.DATE, "2026-01-31", K.TEXT, "2026-01-31"),
        (Cast.DATE, "2026-01-31 23:30:00-05", K.TEXT, "2026-02-01"),
        (Cast.DATE, "2026-01-31T10:00:00Z", K.TIMESTAMP, "2026-01-31"),
        (Cast.DATETIME, "2026-01-31", K.TEXT, "2026-01-31T00:00:00"),
        (Cast.DATETIME, "2026-01-31 12:00+02:00", K.TEXT, "2026-01-31T10:00:00Z"),
        (Cast.DATETIME, "2026-01-31t10:00:00.123456789z", K.TEXT, "2026-01-31T10:00:00.123456Z"),
        (Cast.JSON, ' {"a":1.10} ', K.TEXT, '{"a":1.10}'),
        (Cast.JSON, 12, K.INTEGER, "12"),
    ],
)
def test_value_becomes_what_the_cast_says(to: Cast, value: object, kind: ColumnKind, made: object) -> None:
    assert cast(to, value, kind) == made


@pytest.mark.parametrize(
    ("to", "value", "needed_words"),
    [
        (Cast.INTEGER, "12.5", "a whole number"),
        (Cast.INTEGER, "1e999", "a whole number"),
        (Cast.INTEGER, "secret", "a whole number"),
        (Cast.NUMBER, "1,000", "a number"),
        (Cast.NUMBER, "NaN", "a number"),
        (Cast.NUMBER, "9" * 401, "a number"),
        (Cast.NUMBER, float("inf"), "a finite number"),
        (Cast.BOOLEAN, "2", "true or false"),
        (Cast.DATE, "2026-02-30", "a date"),
        (Cast.DATE, "31.01.2026", "a date"),
        (Cast.DATETIME, "infinity", "a date and time"),
        (Cast.JSON, "{a:1}", "JSON"),
    ],
)
def test_value_of_another_kind_is_refused_without_being_named(to: Cast, value: object, needed_words: str) -> None:
    with pytest.raises(Mismatch) as refused:
        cast(to, value)

    assert str(refused.value).startswith(needed_words)
    assert str(value) not in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "field", "fit"),
    [
        (K.TEXT, FieldKind.TEXT, "as it is"),
        (K.INTEGER, FieldKind.TEXT, "as it is"),
        (K.TEXT, FieldKind.ANY, "as it is"),
        (K.TEXT, FieldKind.INTEGER, "converted"),
        (K.INTEGER, FieldKind.INTEGER, "as it is"),
        (K.DECIMAL, FieldKind.INTEGER, "converted"),
        (K.BOOLEAN, FieldKind.INTEGER, "never"),
        (K.INTEGER, FieldKind.NUMBER, "as it is"),
        (K.DECIMAL, FieldKind.NUMBER, "as it is"),
        (K.TIMESTAMP, FieldKind.NUMBER, "never"),
        (K.TEXT, FieldKind.BOOLEAN, "converted"),
        (K.INTEGER, FieldKind.BOOLEAN, "converted"),
        (K.DECIMAL, FieldKind.BOOLEAN, "never"),
        (K.TIMESTAMP, FieldKind.DATE, "converted"),
        (K.INTEGER, FieldKind.DATE, "as it is"),
        (K.BOOLEAN, FieldKind.DATE, "never"),
        (K.TIMESTAMP, FieldKind.TIMESTAMP, "as it is"),
        (K.TEXT, FieldKind.TIMESTAMP, "converted"),
        (K.JSON, FieldKind.OBJECT, "as it is"),
        (K.JSON, FieldKind.NUMBER, "converted"),
    ],
)
def test_kind_of_a_column_fits_a_field_or_not(kind: ColumnKind, field: FieldKind, fit: str) -> None:
    told = "never" if never_fits(kind, field) else "converted" if needed(kind, field) is not None else "as it is"

    assert told == fit
