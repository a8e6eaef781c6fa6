"""Step 1 of a row: from the source's columns to the destination's fields, encoded once.

The bytes made here are what is sent, hashed and kept in a dead letter. Rows whose key is NULL, too long or seen
before, and rows with a value that JSON cannot hold, are told apart here and flow on with their problem.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson

from tailrace.core import keys
from tailrace.core.errors import SourceInvalid
from tailrace.core.rows import Block, Column, ColumnKind, Row, RowKey, RowOutcome, rejected
from tailrace.core.settlements import (
    DedupeKey,
    Position,
    dedupe_key,
    dedupe_key_of_content,
    dedupe_key_of_duplicate,
)
from tailrace.core.snapshots import KEY_SIZE_LIMIT_BYTES, hash_row
from tailrace.core.syncs import FieldMapping

NULL_KEY = "NULL_KEY"
DUPLICATE_KEY = "DUPLICATE_KEY"
KEY_TOO_LONG = "KEY_TOO_LONG"
NOT_REPRESENTABLE = "NOT_REPRESENTABLE"

_Convert = Callable[[object], object]


@dataclass(frozen=True, slots=True)
class MappedRow:
    """A row as the destination would get it, or what keeps it from being sent.

    `written` is what the snapshot keeps of the key besides its text, see `core.keys`.
    """

    row: Row
    dedupe_key: DedupeKey | None = None
    problem: RowOutcome | None = None
    written: bytes | None = None


class Mapper:
    """The mappings of a sync compiled for the columns of its query; carries the neighbour seen last between blocks."""

    def __init__(self, mappings: Sequence[FieldMapping], columns: Sequence[Column], start: Position) -> None:
        """:raises SourceInvalid: a mapping names a column that the query does not have."""
        self._fields = [_Field.of(mapping, columns) for mapping in mappings]
        self._key_fields = [field for field, mapping in zip(self._fields, mappings, strict=True) if mapping.key]
        self._key_names = [field.name for field in self._key_fields]
        self._tells_key = all(field.is_whole_number for field in self._key_fields)
        self._last_key = start.after
        self._duplicates = 0
        self._last_body = b""
        self._same_bodies = 0
        self._null_rows_to_pass = start.null_rows

    def map_block(self, block: Block) -> list[MappedRow]:
        """The rows of a block, in order; rows that were settled before the start are left out."""
        mapped = [self._map(values, key) for values, key in zip(block.rows, block.keys, strict=True)]
        return [entry for entry in mapped if entry is not None]

    def _map(self, values: Sequence[object], key: RowKey | None) -> MappedRow | None:
        body, unfit = self._encode(values)
        if key is None:
            return self._without_key(body)
        if key == self._last_key:
            return self._duplicate(key, body)
        self._last_key, self._duplicates = key, 0
        row = Row(key, body, hash_row(body))
        if sum(map(len, key)) * 4 > KEY_SIZE_LIMIT_BYTES and _size_bytes(key) > KEY_SIZE_LIMIT_BYTES:
            return MappedRow(row, dedupe_key(key), _too_long())
        if unfit is not None:
            return MappedRow(row, dedupe_key(key), unfit)
        return MappedRow(row, written=None if self._tells_key else self._written(values, key))

    def _written(self, values: Sequence[object], key: RowKey) -> bytes | None:
        return keys.written(self._key_names, key, [field.value(values) for field in self._key_fields])

    def _without_key(self, body: bytes) -> MappedRow | None:
        self._same_bodies = self._same_bodies + 1 if body == self._last_body else 0
        self._last_body = body
        if self._null_rows_to_pass:
            self._null_rows_to_pass -= 1
            return None
        problem = rejected(NULL_KEY, "a key column is NULL: give every row of the query a key")
        return MappedRow(Row(RowKey(()), body, hash_row(body)), dedupe_key_of_content(body, self._same_bodies), problem)

    def _duplicate(self, key: RowKey, body: bytes) -> MappedRow:
        self._duplicates += 1
        problem = rejected(DUPLICATE_KEY, "an earlier row of the query has the same key: make the key unique")
        return MappedRow(Row(key, body, hash_row(body)), dedupe_key_of_duplicate(key, self._duplicates), problem)

    def _encode(self, values: Sequence[object]) -> tuple[bytes, RowOutcome | None]:
        try:
            return orjson.dumps({field.name: field.value(values) for field in self._fields}), None
        except (_Unfit, orjson.JSONEncodeError, RecursionError):
            return self._encode_unfit(values)

    def _encode_unfit(self, values: Sequence[object]) -> tuple[bytes, RowOutcome]:
        """The row with text in place of what JSON cannot hold, and which field that is."""
        shown: dict[str, object] = {}
        unfit: list[str] = []
        for field in self._fields:
            try:
                value = field.value(values)
                orjson.dumps(value)
            except (_Unfit, orjson.JSONEncodeError, RecursionError):
                unfit.append(field.name)
                value = str(values[field.index]).encode(errors="replace").decode()
            shown[field.name] = value
        message = f"JSON cannot hold the value of {', '.join(unfit)}: cast it in the query"
        return orjson.dumps(shown), rejected(NOT_REPRESENTABLE, message, field=unfit[0])


class _Unfit(ValueError):
    """A value that JSON cannot hold."""


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    index: int
    constant: object = None
    convert: _Convert | None = None
    is_whole_number: bool = False

    @classmethod
    def of(cls, mapping: FieldMapping, columns: Sequence[Column]) -> "_Field":
        if mapping.source is None:
            return cls(mapping.destination, -1, mapping.value)
        names = [column.name for column in columns]
        if mapping.source not in names:
            raise SourceInvalid(
                f"the query has no column {mapping.source!r} (mapped to {mapping.destination!r});"
                f" it has: {', '.join(names)}",
                code="COLUMN_MISSING",
            )
        index = names.index(mapping.source)
        kind = columns[index].kind
        return cls(mapping.destination, index, None, _CONVERTERS.get(kind), kind is ColumnKind.INTEGER)

    def value(self, values: Sequence[object]) -> object:
        if self.index < 0:
            return self.constant
        value = values[self.index]
        return value if self.convert is None or value is None else self.convert(value)


def _number(value: object) -> object:
    text = str(value)
    if text[-1:].isdigit():
        return orjson.Fragment(text)
    raise _Unfit


def _finite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        raise _Unfit
    return value


def _json(value: object) -> object:
    return orjson.Fragment(str(value))


_CONVERTERS: dict[ColumnKind, _Convert] = {
    ColumnKind.DECIMAL: _number,
    ColumnKind.FLOAT: _finite,
    ColumnKind.JSON: _json,
}


def _size_bytes(key: RowKey) -> int:
    return sum(len(part.encode()) for part in key)


def _too_long() -> RowOutcome:
    return rejected(KEY_TOO_LONG, f"the key is longer than {KEY_SIZE_LIMIT_BYTES} bytes: choose a shorter one")
