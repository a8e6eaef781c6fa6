"""What some destinations can do besides: found by what they have, not by what they say."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from tailrace.connector_kit.destination import Destination, Field, Object, WritePlan
from tailrace.connector_kit.field_kinds import FieldKind
from tailrace.core.batches import Batch, BatchResult


class Capability(StrEnum):
    """A name for each, as the catalogue has it."""

    DRY_RUN = "dry_run"
    LISTS = "lists"
    NEW_FIELDS = "new_fields"


@dataclass(frozen=True, slots=True)
class NewField:
    """A field that an object shall have."""

    name: str
    label: str
    kind: FieldKind


@runtime_checkable
class RehearsesWrites(Protocol):
    """Tries a batch without applying it."""

    async def rehearse(self, plan: WritePlan, batch: Batch) -> BatchResult:
        """What `write` would say of the batch; nothing of it is there afterwards, whatever happens.

        :raises BatchRefused, DestinationUnavailable, CredentialsRefused, DestinationInvalid: as `write` would.
        """
        ...


@runtime_checkable
class HoldsLists(Protocol):
    """Has lists, such as audiences, that records are members of; the records stay as they are."""

    async def lists(self) -> Sequence[Object]:
        """The lists, which are among the objects too.

        An upsert adds the record of the row's key, a delete takes it out, and to mirror keeps exactly the query's rows.
        A record that is not there is no member: to add it is rejected as NOT_FOUND, to take it out delivered.
        """
        ...


@runtime_checkable
class MakesFields(Protocol):
    """Can give an object a field that it does not have."""

    async def ensure_field(self, object_name: str, field: NewField) -> Field:
        """The field, made if it was not there; one that is there stays as it is.

        :raises DestinationInvalid: there is no such object, or no field can be made there of that name or kind.
        """
        ...


_PROTOCOLS: Mapping[Capability, Callable[[type[Destination]], bool]] = {
    Capability.DRY_RUN: lambda found: issubclass(found, RehearsesWrites),
    Capability.LISTS: lambda found: issubclass(found, HoldsLists),
    Capability.NEW_FIELDS: lambda found: issubclass(found, MakesFields),
}


def capabilities_of(destination: type[Destination]) -> frozenset[Capability]:
    """What a destination can do besides."""
    return frozenset(name for name, has in _PROTOCOLS.items() if has(destination))
