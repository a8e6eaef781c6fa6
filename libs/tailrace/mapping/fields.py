"""One function for each field, from a row's cells to what is sent."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

import orjson

from tailrace.connector_kit.destination import Clearing
from tailrace.core.mappings import OnNull, OnTypeMismatch
from tailrace.core.rows import Column, ColumnKind
from tailrace.core.syncs import FieldMapping
from tailrace.mapping.accepted import Accepted
from tailrace.mapping.fits import CASTS, needed
from tailrace.mapping.hashing import hashing
from tailrace.mapping.templates import Template, reader, template
from tailrace.mapping.values import Convert

Cells = Sequence[object]
Make = Callable[[Cells], object]


class Unwritable(ValueError):
    """JSON cannot hold the value."""


@dataclass(frozen=True, slots=True)
class FieldMaker:
    """Makes the value of a field.

    `origin` is the cell that the value comes from, to be shown where it cannot be made; None where it must not be.
    """

    mapping: FieldMapping
    make: Make
    is_plain: bool
    kind: ColumnKind
    empty: object
    origin: int | None

    @property
    def name(self) -> str:
        """The destination's name of the field."""
        return self.mapping.destination

    @property
    def is_left_out(self) -> bool:
        """Whether the field is not sent where it has no value."""
        return self.mapping.on_null is OnNull.SKIP


@dataclass(frozen=True, slots=True)
class Conversions:
    """Steps from a value to one of `kind`."""

    steps: tuple[Convert, ...]
    kind: ColumnKind

    def apply(self, value: object) -> object:
        """The value after all steps; what is None, or becomes it, stays so.

        :raises Mismatch: a step does not take it.
        """
        for step in self.steps:
            if value is None:
                return None
            value = step(value)
        return value


def kind_of(mapping: FieldMapping, columns: Mapping[str, Column]) -> ColumnKind:
    """What the origin of a mapping holds; its column is one of those given."""
    if mapping.source is not None:
        return columns[mapping.source].kind
    match mapping.value:
        case bool():
            return ColumnKind.BOOLEAN
        case int():
            return ColumnKind.INTEGER
        case float():
            return ColumnKind.FLOAT
        case None if mapping.template is None:
            return ColumnKind.OTHER
    return ColumnKind.TEXT


def conversions(mapping: FieldMapping, kind: ColumnKind, accepted: Accepted, policy: OnTypeMismatch) -> Conversions:
    """What is done to the values of a mapping, one after the other, and of which kind they are then."""
    steps: list[Convert] = []
    if mapping.cast is not None:
        steps.append(CASTS[mapping.cast].of(kind))
        kind = CASTS[mapping.cast].kind
    if mapping.hash is not None:
        steps.append(hashing(mapping.hash))
        kind = ColumnKind.TEXT
    field = accepted.fields.get(mapping.destination)
    fitting = None if field is None or policy is OnTypeMismatch.SEND_AS_IS else needed(kind, field.kind)
    if fitting is not None:
        steps.append(fitting.of(kind))
        kind = fitting.kind
    return Conversions(tuple(steps), kind)


def field_maker(
    mapping: FieldMapping, columns: Sequence[Column], accepted: Accepted, policy: OnTypeMismatch
) -> FieldMaker:
    """The maker of a field whose mapping was found to be sound for these columns."""
    kind = kind_of(mapping, {column.name: column for column in columns})
    done = conversions(mapping, kind, accepted, policy)
    is_cleared_by_text = mapping.on_null is OnNull.CLEAR and accepted.clearing is Clearing.BY_EMPTY_TEXT
    return FieldMaker(
        mapping=mapping,
        make=_make(mapping, columns, done),
        is_plain=mapping.is_plain and not done.steps,
        kind=done.kind,
        empty="" if is_cleared_by_text else None,
        origin=_place(mapping.source, columns) if mapping.source is not None and mapping.hash is None else None,
    )


def _number(value: object) -> object:
    text = str(value)
    if text[-1:].isdigit():
        return orjson.Fragment(text)
    raise Unwritable


def _finite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        raise Unwritable
    return value


def _json(value: object) -> object:
    text = str(value)
    if not _is_json(text):
        raise Unwritable
    return orjson.Fragment(text)


def _is_json(text: str) -> bool:
    """Not all that a warehouse gives as JSON is: `NaN` in a list of DuckDB, `undefined` in an array of Snowflake."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        # It refuses half of a surrogate pair, huge numbers and great depth, too, which PostgreSQL lets into its JSON.
        try:
            json.loads(text, parse_constant=_refuse)
        except RecursionError:
            return True
        except ValueError:
            return False
    return True


def _refuse(constant: str) -> object:
    raise ValueError(constant)


WRITERS: Mapping[ColumnKind, Convert] = {
    ColumnKind.DECIMAL: _number,
    ColumnKind.FLOAT: _finite,
    ColumnKind.JSON: _json,
}
"""From a value to what the encoder of JSON takes, by its very digits; of other kinds it takes values as they are.

They raise `Unwritable` where JSON has nothing for the value.
"""


def _make(mapping: FieldMapping, columns: Sequence[Column], done: Conversions) -> Make:
    if mapping.template is not None:
        return _rendered(template(mapping.template), columns, done)
    if mapping.source is None:
        constant = done.apply(mapping.value)
        return lambda _: constant
    at, apply = _place(mapping.source, columns), done.apply
    return (lambda cells: apply(cells[at])) if done.steps else itemgetter(at)


def _rendered(made: Template, columns: Sequence[Column], done: Conversions) -> Make:
    kinds = {column.name: column.kind for column in columns}
    cells_read = [(name, _place(name, columns), reader(kinds[name])) for name in made.columns]

    def make(cells: Cells) -> object:
        read = {name: None if cells[at] is None else of(cells[at]) for name, at, of in cells_read}
        return done.apply(made.render(read) or None)

    return make


def _place(name: str, columns: Sequence[Column]) -> int:
    return [column.name for column in columns].index(name)
