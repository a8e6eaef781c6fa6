"""What a destination is to the engine."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Self

from pydantic import BaseModel

from tailrace.connector_kit.field_kinds import FieldKind
from tailrace.connector_kit.http import HttpClient
from tailrace.core.batches import Batch, BatchResult
from tailrace.core.rows import Operation
from tailrace.core.syncs import SyncMode


class Level(StrEnum):
    """How far a connector is proved.

    Bronze: passes the contract. Silver: recorded against the real thing, limits cite their page. Gold: also checks
    credentials and discovers fields.
    """

    BRONZE = "bronze"
    SILVER = "silver"
    GOLD = "gold"


@dataclass(frozen=True, slots=True)
class Object:
    """Something that rows can be written to; one that `has_members` is a list that records can be members of."""

    name: str
    label: str
    modes: frozenset[SyncMode]
    writable: bool = True
    has_members: bool = False


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an object; `data_type` is the vendor's own word for what it holds, `kind` the one for all vendors."""

    name: str
    label: str
    data_type: str
    required: bool = False
    updateable: bool = True
    external_id: bool = False
    kind: FieldKind = FieldKind.ANY


@dataclass(frozen=True, slots=True)
class Target:
    """Where a sync writes: object, operation, and the destination's names of key fields and all mapped fields."""

    object_name: str
    operation: Operation
    key_fields: tuple[str, ...]
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WritePlan:
    """How batches for a target are cut, and whether one may be sent again after a lost answer.

    `requests_per_s` is the pace that the account is known to allow, for connections that set none. `details` is the
    destination's own: what it found out once so that `write` need not ask again. `identity_of` is for destinations that
    change keys, such as to small letters: what one makes of a JSON object of key fields. Where it makes the same of
    two, they are one record there, which no run deletes while one of them is in the query.
    """

    target: Target
    rows_per_batch: int
    bytes_per_batch: int
    is_idempotent: bool
    requests_per_s: float | None = None
    details: Mapping[str, object] = field(default_factory=dict)
    identity_of: Callable[[bytes], bytes] | None = None


class Clearing(StrEnum):
    """How a destination is asked to empty a field."""

    BY_NULL = "by_null"
    BY_EMPTY_TEXT = "by_empty_text"
    NOT = "not"  # it leaves a field without a value as it is


class Destination(ABC):
    """A connection to a tool that rows are written to.

    The engine opens one per run and calls `write` from several tasks at once; the others it calls one at a time. A
    destination never retries, paces, logs rows or keeps state between calls: the pipeline does, once, for all. Every
    call that fails as a whole raises one of `tailrace.core.errors`; the engine bounds every call in time, so an
    implementation only has to survive cancellation.
    """

    name: ClassVar[str]
    """The connector's name in the API, such as `http`."""

    label: ClassVar[str]
    """Its name for people."""

    level: ClassVar[Level]
    verified_against: ClassVar[str] = "nothing but its own tests"
    """What it was tried with, as a user should know it."""

    settings_type: ClassVar[type[BaseModel]]
    """Its settings, secrets as `SecretStr`; the engine validates before it opens."""

    objects_discoverable: ClassVar[bool] = True
    clearing: ClassVar[Clearing] = Clearing.BY_NULL

    can_leave_out: ClassVar[bool] = False
    """Whether a row may lack fields of the target: these keep what they hold, whatever other rows of the batch have."""

    lists_all_fields: ClassVar[bool] = True
    """Whether there are no fields but those that `fields` gives, where it gives any."""

    @classmethod
    @abstractmethod
    def open(cls, settings: BaseModel, http: HttpClient) -> AbstractAsyncContextManager[Self]:
        """The destination for as long as the scope lasts. Opening may connect; leaving must close everything.

        :raises DestinationUnavailable: it does not answer.
        :raises CredentialsRefused: it does not let us in.
        """

    @abstractmethod
    async def check(self) -> None:
        """Show that the settings work, without writing.

        :raises DestinationUnavailable, CredentialsRefused, DestinationInvalid: with what to do about it.
        """

    @abstractmethod
    async def objects(self) -> Sequence[Object]:
        """The objects that can be written to."""

    @abstractmethod
    async def fields(self, object_name: str) -> Sequence[Field]:
        """The fields of an object; empty where any field is taken.

        :raises DestinationInvalid: there is no such object.
        """

    @abstractmethod
    async def plan(self, target: Target) -> WritePlan:
        """Check the target against what the destination has, before the first row is read.

        :raises DestinationInvalid: no such object or field, or an operation or key it cannot serve.
        """

    @abstractmethod
    async def write(self, plan: WritePlan, batch: Batch) -> BatchResult:
        """Apply one batch; one outcome for each row, in its order. `rejected` only for what the destination refused.

        Whoever opens connections of its own calls `pass_fence` right before it writes; what that raises goes through.

        :raises BatchRefused: a row is bad and the destination does not say which; nothing was applied.
        :raises Throttled, DestinationUnavailable: nothing was applied, the same batch may be sent again.
        :raises InDoubt: the batch was sent and the answer is lost or makes no sense.
        :raises CredentialsRefused, DestinationInvalid: no batch will pass until somebody mends it.
        """
