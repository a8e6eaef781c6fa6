"""The mapping of a sync, ready for rows: which fields a row has, in which order, and what keeps it from being sent."""

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from tailrace.core.errors import Invalid
from tailrace.core.json_bytes import json_to_keep
from tailrace.core.mappings import OnTypeMismatch
from tailrace.core.rows import Column, RowOutcome, rejected
from tailrace.core.syncs import SyncDefinition
from tailrace.mapping.accepted import ANYTHING, Accepted
from tailrace.mapping.checks import mapping_faults, refusal
from tailrace.mapping.fields import WRITERS, Cells, FieldMaker, Unwritable, field_maker
from tailrace.mapping.values import Mismatch

TYPE_MISMATCH = "TYPE_MISMATCH"
EMPTY_KEY = "EMPTY_KEY"
NOT_REPRESENTABLE = "NOT_REPRESENTABLE"

_UNENCODABLE = (Unwritable, orjson.JSONEncodeError, RecursionError)


class _Problem(Exception):
    def __init__(self, outcome: RowOutcome) -> None:
        super().__init__(outcome.code)
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class CompiledMapping:
    """Makes the bodies of rows.

    The same cells give the same bytes. A mapping that `is_plain` does to a row what writing its cells by their kinds
    does: there is a quicker way then.
    """

    makers: tuple[FieldMaker, ...]
    policy: OnTypeMismatch

    @property
    def is_plain(self) -> bool:
        """Whether every field is a column or a constant that goes as it comes."""
        return all(maker.is_plain for maker in self.makers)

    def encode(self, cells: Cells) -> tuple[bytes, RowOutcome | None]:
        """The body of a row; with what keeps the row from being sent, one that shows where the trouble is.

        :raises Invalid: `TYPE_MISMATCH`, where such a row is to end the run.
        """
        try:
            return json_to_keep(self._record(cells)), None
        except _Problem as problem:
            return self._shown(cells), problem.outcome
        except (orjson.JSONEncodeError, RecursionError):
            return self._shown(cells), self._unencodable(cells)

    def key_values(self, cells: Cells) -> list[object]:
        """What is sent of the key of a row that can be sent, part by part."""
        return [_value(maker, cells) for maker in self.makers if maker.mapping.key]

    def _record(self, cells: Cells) -> dict[str, object]:
        record: dict[str, object] = {}
        for maker in self.makers:
            value = self._value(maker, cells)
            if value is not None:
                record[maker.name] = value
            elif maker.mapping.key:
                told = "the key has no value once it is mapped: leave such rows out of the query"
                raise _Problem(rejected(EMPTY_KEY, told, field=maker.name))
            elif not maker.is_left_out:
                record[maker.name] = maker.empty
        return record

    def _value(self, maker: FieldMaker, cells: Cells) -> object:
        try:
            return _value(maker, cells)
        except Unwritable:
            raise _Problem(_unrepresentable(maker)) from None
        except Mismatch as mismatch:
            told = f"field {maker.name!r} needs {mismatch}"
        if self.policy is OnTypeMismatch.FAIL_RUN:
            raise Invalid(
                f"{told}, and a row has something else: mend the row, or set onTypeMismatch", code=TYPE_MISMATCH
            )
        if self.policy is OnTypeMismatch.SEND_NULL:
            return None
        raise _Problem(rejected(TYPE_MISMATCH, told, field=maker.name))

    def _shown(self, cells: Cells) -> bytes:
        """The row with the text of the cell where a value cannot be made; of what is hashed nothing is shown."""
        shown: dict[str, object] = {}
        for maker in self.makers:
            try:
                shown[maker.name] = _value(maker, cells)
                orjson.dumps(shown[maker.name])
            except (Mismatch, *_UNENCODABLE):
                shown[maker.name] = _cell(maker, cells)
        return json_to_keep(shown)

    def _unencodable(self, cells: Cells) -> RowOutcome:
        for maker in self.makers:
            try:
                orjson.dumps(_value(maker, cells))
            except _UNENCODABLE:
                return _unrepresentable(maker)
            except Mismatch:
                continue
        return rejected(NOT_REPRESENTABLE, "JSON cannot hold the row: cast its columns in the query")


def compile_mapping(
    definition: SyncDefinition, columns: Sequence[Column], accepted: Accepted = ANYTHING
) -> CompiledMapping:
    """The mapping of a sync for the columns of its query.

    :raises Invalid: with all that is wrong with it.
    """
    faults = mapping_faults(definition, columns, accepted)
    if faults:
        raise refusal(definition, faults)
    policy = definition.on_type_mismatch
    makers = [field_maker(mapping, columns, accepted, policy) for mapping in definition.field_mappings]
    return CompiledMapping(tuple(makers), policy)


def _value(maker: FieldMaker, cells: Cells) -> object:
    value, write = maker.make(cells), WRITERS.get(maker.kind)
    return value if value is None or write is None else write(value)


def _cell(maker: FieldMaker, cells: Cells) -> str | None:
    return None if maker.origin is None else str(cells[maker.origin]).encode(errors="replace").decode()


def _unrepresentable(maker: FieldMaker) -> RowOutcome:
    told = f"JSON cannot hold the value of {maker.name}: cast it in the query"
    return rejected(NOT_REPRESENTABLE, told, field=maker.name)
