"""What is wrong with a mapping, all of it at once, before the first row is read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tailrace.connector_kit.destination import Clearing, Field
from tailrace.connector_kit.field_kinds import FieldKind
from tailrace.core.errors import DestinationInvalid, Invalid, SourceInvalid
from tailrace.core.mappings import OnNull, OnTypeMismatch
from tailrace.core.rows import Column, ColumnKind
from tailrace.core.syncs import FieldMapping, SyncDefinition, SyncMode
from tailrace.mapping.accepted import Accepted
from tailrace.mapping.fields import conversions, kind_of
from tailrace.mapping.fits import CASTS, never_fits
from tailrace.mapping.templates import TemplateInvalid, template
from tailrace.mapping.values import Mismatch

COLUMN_MISSING = "COLUMN_MISSING"
MAPPING_INVALID = "MAPPING_INVALID"

_TOLD = 20
_ADDING = frozenset({SyncMode.UPSERT, SyncMode.INSERT, SyncMode.APPEND, SyncMode.MIRROR})
_FREE = frozenset({FieldKind.TEXT, FieldKind.ANY})


@dataclass(frozen=True, slots=True)
class MappingFault:
    """Something wrong: with `member` of the mapping number `at`, or with the mappings as a whole; and what to do."""

    at: int | None
    member: str
    kind: str
    message: str


def mapping_faults(
    definition: SyncDefinition, columns: Sequence[Column] | None, accepted: Accepted | None
) -> list[MappingFault]:
    """Everything that is wrong, as far as the columns of the query and what the destination takes are known."""
    known = None if columns is None else {column.name: column for column in columns}
    faults = [
        fault
        for at, mapping in enumerate(definition.field_mappings)
        for fault in _Check(at, mapping, definition, known, accepted).faults()
    ]
    return faults + _unmapped(definition, accepted)


def columns_read(definition: SyncDefinition) -> frozenset[str]:
    """The columns that the mappings read, those of their templates too.

    :raises DestinationInvalid: a template is not sound.
    """
    names = {mapping.source for mapping in definition.field_mappings if mapping.source}
    try:
        templates = [template(mapping.template) for mapping in definition.field_mappings if mapping.template]
    except TemplateInvalid as error:
        raise DestinationInvalid(str(error), code=MAPPING_INVALID) from None
    return frozenset(names.union(*(each.columns for each in templates)))


def refusal(definition: SyncDefinition, faults: Sequence[MappingFault]) -> Invalid:
    """All that is wrong as the one error that a run ends by."""
    message = "; ".join(f"{_name(definition, fault)}{fault.message}" for fault in faults)
    if all(fault.kind == "column" for fault in faults):
        return SourceInvalid(message, code=COLUMN_MISSING)
    return DestinationInvalid(message, code=MAPPING_INVALID)


def _name(definition: SyncDefinition, fault: MappingFault) -> str:
    is_told = fault.at is None or fault.kind == "column"
    return "" if is_told or fault.at is None else f"field {definition.field_mappings[fault.at].destination!r}: "


@dataclass(frozen=True, slots=True)
class _Check:
    at: int
    mapping: FieldMapping
    definition: SyncDefinition
    columns: Mapping[str, Column] | None
    accepted: Accepted | None

    def faults(self) -> list[MappingFault]:
        return [
            MappingFault(self.at, member, kind, message)
            for member, kind, message in (*self._origin(), *self._field(), *self._null(), *self._types())
        ]

    def _origin(self) -> Iterator[tuple[str, str, str]]:
        member, names = "source", [self.mapping.source] if self.mapping.source else []
        if self.mapping.template is not None:
            member = "template"
            try:
                names = list(template(self.mapping.template).columns)
            except TemplateInvalid as error:
                yield member, "template", str(error)
                return
        for name in names:
            if self.columns is not None and name not in self.columns:
                has = ", ".join(self.columns)
                yield (
                    member,
                    "column",
                    f"the query has no column {name!r} (mapped to {self.mapping.destination!r}); it has: {has}",
                )

    def _field(self) -> Iterator[tuple[str, str, str]]:
        if self.accepted is None or not self.accepted.are_all:
            return
        field = self.accepted.fields.get(self.mapping.destination)
        if field is None:
            yield "destination", "field", f"no such field; there are {_some(list(self.accepted.fields))}"
        elif not field.updateable and not self.mapping.key and self.definition.sync_mode is not SyncMode.DELETE:
            yield "destination", "read_only", "the destination fills this field itself: do not map it"

    def _null(self) -> Iterator[tuple[str, str, str]]:
        if self.accepted is None:
            return
        if self.mapping.on_null is OnNull.SKIP and not self.accepted.can_leave_out:
            yield (
                "on_null",
                "on_null",
                "this destination writes all fields of all rows, none is left out: send or clear",
            )
        if self.mapping.on_null is OnNull.CLEAR and self.accepted.clearing is Clearing.NOT:
            yield "on_null", "on_null", "this destination keeps what a field holds, it cannot be cleared: skip"

    def _types(self) -> Iterator[tuple[str, str, str]]:
        kind = self._kind()
        if kind is None:
            return
        if self.mapping.cast is not None and kind not in CASTS[self.mapping.cast].takes:
            yield "cast", "type", f"a value of kind {kind} is never made a {self.mapping.cast}: cast it in the query"
            return
        accepted = self.accepted or Accepted()
        field = accepted.fields.get(self.mapping.destination)
        if field is not None and self._never_fits(kind, field):
            yield "destination", "type", f"the field holds {field.data_type or field.kind}, which this never is"
        elif self.mapping.value is not None:
            yield from self._constant(kind, accepted)

    def _kind(self) -> ColumnKind | None:
        """None where it is not known, or does not matter since there is no such column."""
        if self.mapping.source is None:
            return kind_of(self.mapping, {})
        if self.columns is None or self.mapping.source not in self.columns:
            return None
        return kind_of(self.mapping, self.columns)

    def _never_fits(self, kind: ColumnKind, field: Field) -> bool:
        if self.definition.on_type_mismatch is OnTypeMismatch.SEND_AS_IS:
            return False
        if self.mapping.hash is not None:
            return field.kind not in _FREE
        return never_fits(kind if self.mapping.cast is None else CASTS[self.mapping.cast].kind, field.kind)

    def _constant(self, kind: ColumnKind, accepted: Accepted) -> Iterator[tuple[str, str, str]]:
        done = conversions(self.mapping, kind, accepted, self.definition.on_type_mismatch)
        try:
            done.apply(self.mapping.value)
        except Mismatch as mismatch:
            yield "value", "type", f"the constant needs to be {mismatch}"


def _unmapped(definition: SyncDefinition, accepted: Accepted | None) -> list[MappingFault]:
    if accepted is None or definition.sync_mode not in _ADDING:
        return []
    mapped = {mapping.destination for mapping in definition.field_mappings}
    missing = [field.name for field in accepted.fields.values() if field.required and field.name not in mapped]
    if not missing:
        return []
    return [
        MappingFault(None, "", "required", f"the destination requires these fields too, map them: {_some(missing)}")
    ]


def _some(names: Sequence[str]) -> str:
    return ", ".join(sorted(names)[:_TOLD]) + (", ..." if len(names) > _TOLD else "")
