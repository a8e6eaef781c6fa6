"""How PostgreSQL's values come out of a query: as exact text wherever Python or JSON would lose something."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from tailrace.connector_kit.copy_text import Layout
from tailrace.connector_kit.postgres_reading import ROWS, ReadColumn, key_among
from tailrace.connector_kit.sql import quote_name
from tailrace.connector_kit.warehouse import Reading
from tailrace.core.rows import Column, ColumnKind

SET_UP = """
    SELECT set_config('TimeZone', 'UTC', true), set_config('DateStyle', 'ISO, YMD', true),
           set_config('IntervalStyle', 'iso_8601', true), set_config('bytea_output', 'hex', true),
           set_config('extra_float_digits', '1', true), set_config('standard_conforming_strings', 'on', true),
           set_config('statement_timeout', $1, true), set_config('lock_timeout', $2, true),
           (SELECT set_config(name, '5s', true) FROM pg_catalog.pg_settings
            WHERE name = 'client_connection_check_interval' AND pg_catalog.version() LIKE '%linux%')
"""
"""How values are written, and how long statements may take, in this transaction.

The last one ends a long sort for a reader that died; servers before 14, and few systems, do not have it.
"""

_KINDS = {
    "int2": ColumnKind.INTEGER,
    "int4": ColumnKind.INTEGER,
    "int8": ColumnKind.INTEGER,
    "oid": ColumnKind.INTEGER,
    "float4": ColumnKind.FLOAT,
    "float8": ColumnKind.FLOAT,
    "bool": ColumnKind.BOOLEAN,
    "numeric": ColumnKind.DECIMAL,
    "money": ColumnKind.DECIMAL,
    "timestamptz": ColumnKind.TIMESTAMP,
    "timestamp": ColumnKind.TIMESTAMP,
    "date": ColumnKind.TIMESTAMP,
    "json": ColumnKind.JSON,
    "jsonb": ColumnKind.JSON,
    "record": ColumnKind.JSON,
}
_AS_THEY_ARE = frozenset(
    {"int2", "int4", "int8", "oid", "float8", "bool", "timestamptz", "timestamp", "text", "varchar"}
)
# The shortest decimal of a float4 differs from the shortest of the same number as float8.
_CASTS = {"float4": "{}::text::float8", "money": "{}::numeric::text", "record": "to_json({})::text"}
_WRITTEN_AS_TEXT = frozenset({"numeric", "date", "json", "jsonb", "uuid"})
_TIMES = frozenset({"timestamptz", "timestamp"})
"""Dates with a time, which PostgreSQL writes with a space in between."""


class Type(Protocol):
    """A type as the driver tells it."""

    @property
    def name(self) -> str:
        """Its name, without the schema."""

    @property
    def kind(self) -> str:
        """`scalar`, `array`, `composite` or `range`."""

    @property
    def schema(self) -> str:
        """Where it is."""


class Attribute(Protocol):
    """A column of a query as the driver tells it."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def type(self) -> Type:
        """Its type."""


def kinds_of(attributes: Sequence[Attribute]) -> list[Column]:
    """The columns of a query."""
    return [Column(attribute.name, _kind(attribute)) for attribute in attributes]


def copied_column(attribute: Attribute) -> ReadColumn:
    """How a column is selected for a COPY, which writes much as a cast to text does."""
    column, name = read_column(attribute), attribute.type.name
    if name in _WRITTEN_AS_TEXT and attribute.type.schema == "pg_catalog":
        return replace(column, projection=_bare(attribute))
    return column


def copied_layout(reading: Reading, attributes: Sequence[Attribute], *, has_hashes: bool) -> Layout:
    """What the cells are of the lines that a COPY of columns writes, with a hash of the row where there is one."""
    times = [at for at, attribute in enumerate(attributes) if attribute.type.name in _TIMES]
    kinds = [column.kind for column in kinds_of(attributes)]
    columns = [*map(copied_column, attributes), *[ReadColumn("", "", "")] * has_hashes]
    return Layout(kinds, times, extra=has_hashes, key=key_among(reading, columns))


def read_column(attribute: Attribute) -> ReadColumn:
    """How a column is selected."""
    kind = attribute.type
    return ReadColumn(attribute.name, projection(attribute), f"{quote_name(kind.schema)}.{quote_name(kind.name)}")


def projection(attribute: Attribute) -> str:
    """The expression that gives a column of the user's query."""
    column = _bare(attribute)
    if attribute.type.name in _AS_THEY_ARE:
        return column
    if attribute.type.kind in {"array", "composite"}:
        return f"to_json({column})::text"
    return _CASTS.get(attribute.type.name, "{}::text").format(column)


def _bare(attribute: Attribute) -> str:
    return f"{ROWS}.{quote_name(attribute.name)}"


def _kind(attribute: Attribute) -> ColumnKind:
    if attribute.type.kind in {"array", "composite"}:
        return ColumnKind.JSON
    return _KINDS.get(attribute.type.name, ColumnKind.TEXT)


def iso_utc(text: str) -> str:
    """A time in UTC as ISO 8601 has it."""
    if text.endswith("+00"):
        return text[:-3].replace(" ", "T", 1) + "Z"
    return text.replace(" ", "T", 1).replace("+00 ", "Z ")


def iso_local(text: str) -> str:
    """A time without a zone as ISO 8601 has it."""
    return text.replace(" ", "T", 1)
