"""A table of PostgreSQL as the catalogue has it, and the one statement that applies a batch to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tailrace.connector_kit.destination import Target
from tailrace.connector_kit.field_kinds import FieldKind
from tailrace.connector_kit.sql import quote_name
from tailrace.core.errors import DestinationInvalid, Invalid
from tailrace.core.rows import Operation

# Every name in the SQL of this module comes from the catalogue, quoted; every value is in the argument.
_ADDING = frozenset({Operation.UPSERT, Operation.INSERT})
_TYPES: Mapping[FieldKind, str] = {
    FieldKind.TEXT: "text",
    FieldKind.INTEGER: "bigint",
    FieldKind.NUMBER: "numeric",
    FieldKind.BOOLEAN: "boolean",
    FieldKind.DATE: "date",
    FieldKind.TIME: "time",
    FieldKind.TIMESTAMP: "timestamptz",
    FieldKind.LIST: "jsonb",
    FieldKind.OBJECT: "jsonb",
    FieldKind.ANY: "text",
}


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column; its type as `format_type` writes it, safe in SQL as it is."""

    name: str
    data_type: str
    is_writable: bool
    is_required: bool


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its columns by name, and the sets of columns that a unique index covers exactly."""

    name: str
    quoted_name: str
    columns: Mapping[str, TableColumn]
    unique_keys: frozenset[frozenset[str]]

    def check(self, target: Target) -> None:
        """Return if batches for the target can be applied.

        :raises DestinationInvalid: with what to do about it.
        """
        unknown = [name for name in target.fields if name not in self.columns]
        if unknown:
            known = ", ".join(self.columns)
            raise DestinationInvalid(f"{self.name} has no field {', '.join(unknown)}; it has {known}")
        if target.operation is not Operation.DELETE:
            self._check_fields(target)
        if target.operation is Operation.UPSERT and not self._is_unique(target):
            index = f"CREATE UNIQUE INDEX ON {self.quoted_name} ({_list(target.key_fields)})"
            raise DestinationInvalid(f"an upsert needs a unique index on exactly the key: {index}")

    def _check_fields(self, target: Target) -> None:
        is_adding = target.operation in _ADDING
        written = target.fields if is_adding else _without_key(target)
        if not written:
            raise DestinationInvalid("an update needs a field besides the key")
        fixed = [name for name in written if not self.columns[name].is_writable]
        if fixed:
            raise DestinationInvalid(f"{self.name} fills these fields itself, do not map them: {', '.join(fixed)}")
        absent = [
            column.name for column in self.columns.values() if column.is_required and column.name not in target.fields
        ]
        if is_adding and absent:
            raise DestinationInvalid(f"{self.name} requires these fields, map them too: {', '.join(absent)}")

    def column_statement(self, name: str, kind: FieldKind) -> str:
        """SQL that gives the table a column which may be null.

        :raises DestinationInvalid: no column can have this name.
        """
        try:
            quoted = quote_name(name)
        except Invalid as error:
            raise DestinationInvalid(error.message) from error
        return f"ALTER TABLE {self.quoted_name} ADD COLUMN IF NOT EXISTS {quoted} {_TYPES[kind]}"

    def statement(self, target: Target) -> str:
        """SQL with the batch, a JSON array of objects, as its only argument.

        Where rows may be passed over it gives one record: `are_all`, true where none was; else `applied`, the numbers
        of the rows that were not, from 1, and `twins`, of those passed over for another of the batch with their key.
        """
        types = ", ".join(f"{quote_name(name)} {self.columns[name].data_type}" for name in target.fields)
        names = ", ".join(f"c{i}" for i in range(len(target.fields)))
        rows = f"ROWS FROM (json_to_recordset($1::json) AS ({types})) WITH ORDINALITY AS input ({names}, n)"
        match target.operation:
            case Operation.UPSERT:
                return f"{self._insert(target)} {rows} ON CONFLICT ({_list(target.key_fields)}) DO {_replace(target)}"
            case Operation.INSERT if self._is_unique(target):
                return self._insert_what_is_new(target, rows)
            case Operation.INSERT:
                return f"{self._insert(target)} {rows}"
            case Operation.UPDATE:
                return self._update(target, rows)
            case Operation.DELETE:
                return f"DELETE FROM {self.quoted_name} AS target USING {rows} WHERE {_is_same(target)}"  # noqa: S608  # names are quoted

    def _insert(self, target: Target) -> str:
        places = ", ".join(_places(target).values())
        return f"INSERT INTO {self.quoted_name} AS target ({_list(target.fields)}) SELECT {places} FROM"

    def _insert_what_is_new(self, target: Target, rows: str) -> str:
        # An INSERT cannot return the number of its row: it is found again by its key. A row that was there already
        # with the same values counts as applied: it is most likely ours, sent before an answer was lost.
        keys = _list(target.key_fields)
        places = _places(target)
        held = ", ".join(f"target.{quote_name(name)}" for name in target.fields)
        return f"""
            WITH input AS MATERIALIZED (SELECT * FROM {rows}),
                 added AS (INSERT INTO {self.quoted_name} AS target ({_list(target.fields)})
                           SELECT {", ".join(places.values())} FROM input ORDER BY input.n
                           ON CONFLICT ({keys}) DO NOTHING RETURNING {keys}),
                 counted AS (SELECT (SELECT count(*) FROM added) = (SELECT count(*) FROM input) AS are_all)
            SELECT are_all, ARRAY[]::int[] AS twins, CASE WHEN NOT are_all THEN
                       ARRAY(SELECT min(input.n) FROM input JOIN added AS target ON {_is_same(target)}
                             GROUP BY {", ".join(places[name] for name in target.key_fields)})
                       || ARRAY(SELECT input.n FROM input JOIN {self.quoted_name} AS target ON {_is_same(target)}
                                WHERE ROW({held})::text = ROW({", ".join(places.values())})::text)
                   END AS applied
            FROM counted
        """  # noqa: S608 - quoted names of the catalogue

    def _update(self, target: Target, rows: str) -> str:
        places = _places(target)
        values = ", ".join(f"{quote_name(name)} = {places[name]}" for name in _without_key(target))
        keys = ", ".join(places[name].removeprefix("input.") for name in target.key_fields)
        return f"""
            WITH input AS MATERIALIZED (SELECT * FROM {rows}),
                 changed AS (UPDATE {self.quoted_name} AS target SET {values} FROM input WHERE {_is_same(target)}
                             RETURNING input.n),
                 counted AS (SELECT (SELECT count(*) FROM changed) = (SELECT count(*) FROM input) AS are_all)
            SELECT are_all, CASE WHEN NOT are_all THEN ARRAY(SELECT n FROM changed) END AS applied,
                   CASE WHEN NOT are_all THEN
                       ARRAY(SELECT input.n FROM input JOIN input AS other USING ({keys})
                             WHERE input.n <> other.n AND other.n IN (SELECT n FROM changed))
                   END AS twins
            FROM counted
        """  # noqa: S608  # names are quoted

    def is_repeatable(self, target: Target) -> bool:
        """Whether the same batch may be applied twice without harm."""
        return target.operation is not Operation.INSERT or self._is_unique(target)

    def _is_unique(self, target: Target) -> bool:
        return frozenset(target.key_fields) in self.unique_keys


def _replace(target: Target) -> str:
    others = _without_key(target)
    if not others:
        return "NOTHING"
    return "UPDATE SET " + ", ".join(f"{quote_name(name)} = excluded.{quote_name(name)}" for name in others)


def _is_same(target: Target) -> str:
    places = _places(target)
    return " AND ".join(f"target.{quote_name(name)} = {places[name]}" for name in target.key_fields)


def _places(target: Target) -> Mapping[str, str]:
    return {name: f"input.c{i}" for i, name in enumerate(target.fields)}


def _without_key(target: Target) -> Sequence[str]:
    return [name for name in target.fields if name not in target.key_fields]


def _list(names: Sequence[str]) -> str:
    return ", ".join(map(quote_name, names))
