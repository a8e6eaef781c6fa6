"""Step 1 of a row: from the source's columns to the destination's fields, encoded once.

The bytes made here are what is sent, hashed and kept in a dead letter. Rows whose key is NULL, too long or seen
before, and rows with a value that JSON cannot hold, are told apart here and flow on with their problem.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import cast

import orjson

from tailrace.connector_kit.compiled import Known, Sifted
from tailrace.connector_kit.copy_text import TextKeys, TextRows
from tailrace.core import keys
from tailrace.core.json_bytes import json_to_keep
from tailrace.core.row_columns import RowColumns
from tailrace.core.rows import Block, Column, ColumnKind, Row, RowKey, RowOutcome, rejected
from tailrace.core.settlements import (
    Position,
    dedupe_key_of_content,
    dedupe_key_of_duplicate,
    dedupe_key_of_event,
    dedupe_key_of_unplaced,
)
from tailrace.core.snapshots import KEY_SIZE_LIMIT_BYTES, UNKNOWN_VERSION, Entry, hash_row, hash_rows
from tailrace.core.syncs import FieldMapping, SyncDefinition, SyncMode
from tailrace.core.written_keys import WrittenKeys
from tailrace.mapping.accepted import ANYTHING, Accepted
from tailrace.mapping.compiled import NOT_REPRESENTABLE, compile_mapping
from tailrace.mapping.fields import WRITERS, Unwritable
from tailrace.mapping.sent_keys import TAKEN, SentKeys, keys_may_meet
from tailrace.mapping.values import Convert
from tailrace.observe.failpoints import failpoint
from tailrace.pipeline.places import Places, order_of
from tailrace.pipeline.plain import MappedRow, PlainRows, are_plain
from tailrace.pipeline.template import Template, TextField

NULL_KEY = "NULL_KEY"
NULL_CURSOR = "NULL_CURSOR"
DUPLICATE_KEY = "DUPLICATE_KEY"
KEY_TOO_LONG = "KEY_TOO_LONG"
NUL_IN_KEY = "NUL_IN_KEY"
CODES_OF_QUERIES = frozenset({NULL_KEY, NULL_CURSOR, DUPLICATE_KEY, KEY_TOO_LONG, NUL_IN_KEY})
"""Codes of rows that no run sends; their letters are closed by a run that reads no such row any more."""

_NUL = "\0"


class Mapper:
    """The mappings of a sync compiled for the columns of its query; carries the neighbour seen last between blocks."""

    def __init__(
        self, definition: SyncDefinition, columns: Sequence[Column], start: Position, accepted: Accepted = ANYTHING
    ) -> None:
        """:raises Invalid: with all that is wrong with the mappings, or the query has no column for the cursor."""
        mappings = definition.field_mappings
        compiled = compile_mapping(definition, columns, accepted)
        self._compiled = None if compiled.is_plain else compiled
        self.order = order_of(definition, columns)
        self._places = Places(self.order)
        self._are_events = definition.sync_mode is SyncMode.APPEND
        self._fields = [_Field.of(mapping, columns) for mapping in mappings]
        self._encoder = _Encoder(self._fields, len(columns))
        self._template = Template([field.as_text(columns) for field in self._fields])
        self._key_fields = [field for field, mapping in zip(self._fields, mappings, strict=True) if mapping.key]
        self._key_names = [field.name for field in self._key_fields]
        self._has_one_key = len(definition.key_columns) == 1
        self._tells_key = self._compiled is None and all(field.is_whole_number for field in self._key_fields)
        is_compared = self.order.is_by_key and not self._are_events and keys_may_meet(definition, accepted, columns)
        self._sent_keys = SentKeys() if is_compared else None
        keys_go_as_they_come = all(field.is_whole_number or field.convert is None for field in self._key_fields)
        is_plain = self._compiled is None and keys_go_as_they_come
        self._may_be_plain = is_plain and self.order.is_by_key and not self._are_events and self._sent_keys is None
        self._last_place = start.after
        self._duplicates = 0
        self._read_again = None if self.order.is_keyed else start.after
        self._last_without_place: object = None
        self._alike = 0
        self._null_rows_to_pass = start.null_rows

    def map_block(self, block: Block) -> Sequence[MappedRow]:
        """The rows of a block, in order; rows that were settled before the start are left out."""
        if isinstance(block.keys, TextKeys):
            block = Block(block.rows, block.keys.cut, block.sources)
        return self._map_plain(block) or self._map_exactly(block)

    def may_sift(self, block: Block) -> bool:
        """Whether the rows of a block may be plain, and their hashes say all there is to compare."""
        return self._may_be_plain and block.sources is None and self._has_one_key

    def sift(self, rows: TextRows, start: int, known: Known) -> Sifted | None:
        """Compare lines with what is known, if that can be done without making rows of them."""
        return self._template.sift(rows, start, known)

    def map_lines(self, rows: TextRows) -> PlainRows | None:
        """Some of the rows of a block, of different keys; None where there is something to say about one of them.

        The rows before them are not looked at, and need not have been mapped.
        """
        block = Block(rows, rows.keys())
        is_plain = are_plain(block.keys, None) and self._keys_tell(block) and not _may_hold_nul(block)
        return self._plain_rows(block) if is_plain else None

    def is_duplicate(self, place: RowKey) -> bool:
        """Whether the last row had that place."""
        return place == self._last_place

    def pass_by(self, place: RowKey) -> None:
        """Know that rows up to a place, each of another key, were seen to."""
        self._last_place, self._duplicates = place, 0

    async def heed(self, others: AsyncIterator[Sequence[Entry]]) -> None:
        """Where keys may become one, take the records of entries as had by rows that came before.

        What was found to share its key with another row has no record of its own.
        """
        if self._sent_keys is None:
            return
        async for entries in others:
            for each in entries:
                if each.delivered is not None and each.dead != UNKNOWN_VERSION and not each.is_gone:
                    self._sent_keys.is_first(keys.key_record(self._key_names, each))

    def _map_plain(self, block: Block) -> PlainRows | None:
        """All rows at once; None where there may be something to say about one of them."""
        if not self._may_be_plain or not are_plain(block.keys, self._last_place) or not self._keys_tell(block):
            return None
        rows = None if _may_hold_nul(block) else self._plain_rows(block)
        if rows is not None:
            self.pass_by(rows.columns.keys[-1])
        return rows

    def _plain_rows(self, block: Block) -> PlainRows | None:
        bodies = self._bodies(block.rows)
        if bodies is None:
            return None
        keys = cast("Sequence[RowKey]", block.keys)
        return PlainRows(RowColumns(keys, bodies, hash_rows(bodies), block.sources))

    def _bodies(self, rows: Sequence[Sequence[object]]) -> list[bytes] | None:
        """The bodies of all rows; None where JSON cannot hold one of them."""
        if isinstance(rows, TextRows):
            return self._template.bodies(rows)
        try:
            return [self._encoder.encode(values) for values in rows]
        except (Unwritable, orjson.JSONEncodeError, RecursionError):
            return None

    def _keys_tell(self, block: Block) -> bool:
        """Whether the text of each key tells what is sent of it."""
        if self._tells_key:
            return True
        for at, field in enumerate(self._key_fields):
            if field.is_whole_number:
                continue
            parts = [key[at] for key in block.keys if key is not None]
            if _column(block.rows, field) != parts or not keys.are_told_as_text(parts):
                return False
        return True

    def _map_exactly(self, block: Block) -> list[MappedRow]:
        mapped = [self._map(values, key) for values, key in zip(block.rows, block.keys, strict=True)]
        if block.sources is not None:
            mapped = [one and one._replace(source=source) for one, source in zip(mapped, block.sources, strict=True)]
        return [entry for entry in mapped if entry is not None]

    def _map(self, values: Sequence[object], key: RowKey | None) -> MappedRow | None:
        body, unfit = self._encode(values)
        place = key if self.order.is_by_key else self._places.place(values, key)
        if place is None or key is None or _holds_nul(key):
            return self._without_place(values, key, body)
        if self._read_again is not None and place <= self._read_again:
            return None
        if place == self._last_place:
            return self._duplicate(place, key, body)
        self._last_place, self._duplicates = place, 0
        row = Row(key, body, hash_row(body))
        name = dedupe_key_of_event(place, body) if self._are_events else None
        if sum(map(len, key)) * 4 > KEY_SIZE_LIMIT_BYTES and _size_bytes(key) > KEY_SIZE_LIMIT_BYTES:
            return MappedRow(row, place, name, _too_long(), is_extra=True)
        if unfit is not None or self._tells_key:
            return MappedRow(row, place, name, unfit)
        sent = keys.record_of(self._key_names, self._key_values(values))
        is_first = self._sent_keys is None or self._sent_keys.is_first(sent)
        return MappedRow(row, place, name, None if is_first else TAKEN, keys.written(self._key_names, key, sent))

    def _key_values(self, values: Sequence[object]) -> Sequence[object]:
        if self._compiled is not None:
            return self._compiled.key_values(values)
        return [field.value(values) for field in self._key_fields]

    def _without_place(self, values: Sequence[object], key: RowKey | None, body: bytes) -> MappedRow | None:
        """A row with a NULL in its key or its cursor; of those that are alike, each has a letter of its own."""
        if key is not None and _holds_nul(key):
            return self._not_storable(key, body)
        this = tuple(values) if key is None else key
        self._alike = self._alike + 1 if this == self._last_without_place else 0
        self._last_without_place = this
        if self._null_rows_to_pass:
            self._null_rows_to_pass -= 1
            return None
        if key is None:
            problem = rejected(NULL_KEY, "a key column is NULL: give every row of the query a key")
            name = dedupe_key_of_content(repr(this).encode(errors="replace"), self._alike)
        else:
            problem = rejected(NULL_CURSOR, "the cursor is NULL: no run would see this row change")
            name = dedupe_key_of_unplaced(key, self._alike)
        return MappedRow(Row(key or RowKey(()), body, hash_row(body)), RowKey(()), name, problem, is_extra=True)

    def _not_storable(self, key: RowKey, body: bytes) -> MappedRow:
        """A row whose key no store can hold: it stands where the row before it does."""
        problem = rejected(NUL_IN_KEY, "the key holds a NUL character (U+0000): replace it in the query")
        name = dedupe_key_of_content(repr(key).encode(errors="replace"), 1)
        before_all = RowKey(("",) * len(key)) if self.order.is_by_key else RowKey(())
        place = self._last_place or before_all
        return MappedRow(Row(RowKey(()), body, hash_row(body)), place, name, problem, is_extra=True)

    def _duplicate(self, place: RowKey, key: RowKey, body: bytes) -> MappedRow:
        self._duplicates += 1
        problem = rejected(DUPLICATE_KEY, "an earlier row of the query has the same key: make the key unique")
        name = dedupe_key_of_duplicate(key, self._duplicates)
        return MappedRow(Row(key, body, hash_row(body)), place, name, problem, is_extra=True)

    def _encode(self, values: Sequence[object]) -> tuple[bytes, RowOutcome | None]:
        if self._compiled is not None:
            return self._compiled.encode(values)
        try:
            return self._encoder.encode(values), None
        except (Unwritable, orjson.JSONEncodeError, RecursionError):
            return self._encode_unfit(values)

    def _encode_unfit(self, values: Sequence[object]) -> tuple[bytes, RowOutcome]:
        """The row with text in place of what JSON cannot hold, and which field that is."""
        shown: dict[str, object] = {}
        unfit: list[str] = []
        for field in self._fields:
            try:
                value = field.value(values)
                orjson.dumps(value)
            except (Unwritable, orjson.JSONEncodeError, RecursionError):
                unfit.append(field.name)
                value = str(values[field.index]).encode(errors="replace").decode()
            shown[field.name] = value
        message = f"JSON cannot hold the value of {', '.join(unfit)}: cast it in the query"
        return json_to_keep(shown), rejected(NOT_REPRESENTABLE, message, field=unfit[0])


async def map_fields(blocks: AsyncIterator[Block], mapper: Mapper) -> AsyncIterator[Sequence[MappedRow]]:
    """Rows as the destination would get them, a list a block."""
    async for block in blocks:
        failpoint("exec.mid_read")
        mapped = mapper.map_block(block)
        failpoint("exec.after_map")
        yield mapped


class _Encoder:
    """Writes rows as JSON objects: one pass for all values, and one more for those few kinds that need a conversion."""

    def __init__(self, fields: "Sequence[_Field]", columns: int) -> None:
        constants = [field for field in fields if field.index < 0]
        places = {field.name: columns + at for at, field in enumerate(constants)}
        self._constants = tuple(field.constant for field in constants)
        self._names = tuple(field.name for field in fields)
        # A last place that is not used, since one place alone would be picked bare.
        self._pick = itemgetter(*(places.get(field.name, field.index) for field in fields), 0)
        self._converted = [(field.name, field.convert) for field in fields if field.convert is not None]

    def encode(self, values: Sequence[object]) -> bytes:
        picked = self._pick((*values, *self._constants) if self._constants else values)
        record = dict(zip(self._names, picked, strict=False))
        for name, convert in self._converted:
            value = record[name]
            if value is not None:
                record[name] = convert(value)
        return json_to_keep(record)


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    index: int
    constant: object = None
    convert: Convert | None = None
    is_whole_number: bool = False

    @classmethod
    def of(cls, mapping: FieldMapping, columns: Sequence[Column]) -> "_Field":
        if mapping.source is None:
            return cls(mapping.destination, -1, mapping.value)
        index = [column.name for column in columns].index(mapping.source)
        kind = columns[index].kind
        return cls(mapping.destination, index, None, WRITERS.get(kind), kind is ColumnKind.INTEGER)

    def as_text(self, columns: Sequence[Column]) -> TextField:
        """The field as a template takes it."""
        if self.index < 0:
            return TextField(self.name, None, ColumnKind.OTHER, self.constant)
        return TextField(self.name, self.index, columns[self.index].kind)

    def value(self, values: Sequence[object]) -> object:
        if self.index < 0:
            return self.constant
        value = values[self.index]
        return value if self.convert is None or value is None else self.convert(value)


def _column(rows: Sequence[Sequence[object]], field: _Field) -> list[object]:
    """What is sent of a field that goes as it comes, row by row."""
    return rows.column(field.index) if isinstance(rows, TextRows) else [values[field.index] for values in rows]


def _holds_nul(key: RowKey) -> bool:
    return any(_NUL in part for part in key)


def _may_hold_nul(block: Block) -> bool:
    """Whether a key may hold a NUL character. Keys that were written as JSON need no escape."""
    if isinstance(block.keys, WrittenKeys):
        return False
    if isinstance(block.rows, TextRows):
        return b"\0" in block.rows.text
    return _NUL in "".join(chain.from_iterable(key or () for key in block.keys))


def _size_bytes(key: RowKey) -> int:
    return sum(len(part.encode()) for part in key)


def _too_long() -> RowOutcome:
    return rejected(KEY_TOO_LONG, f"the key is longer than {KEY_SIZE_LIMIT_BYTES} bytes: choose a shorter one")
