"""The destination that a manifest describes."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import ClassVar, Self

from pydantic import BaseModel

from tailrace.connector_kit.destination import Clearing, Destination, Field, Object, Target, WritePlan
from tailrace.connector_kit.http import HttpClient
from tailrace.connector_kit.manifest.abilities import WithLists, WithNewFields
from tailrace.connector_kit.manifest.addresses import filled
from tailrace.connector_kit.manifest.calls import Caller
from tailrace.connector_kit.manifest.delivery import Delivery
from tailrace.connector_kit.manifest.discovery import fields_of, objects_of
from tailrace.connector_kit.manifest.encoding import dumped
from tailrace.connector_kit.manifest.model import Manifest
from tailrace.connector_kit.manifest.pressure import Pressure
from tailrace.connector_kit.manifest.rendering import Frame, Rendered, empty_bytes, fill, render
from tailrace.connector_kit.manifest.settings import ConnectionSettings, settings_type, values_of
from tailrace.connector_kit.manifest.sign_in import SignIn
from tailrace.connector_kit.manifest.targets import check_target
from tailrace.connector_kit.manifest.writes import LookedUpKey, Write
from tailrace.connector_kit.masking import all_masked, secret_words
from tailrace.core.batches import Batch, BatchResult
from tailrace.core.clock import Clock, SystemClock
from tailrace.core.errors import DestinationInvalid
from tailrace.core.rows import Row, RowKey, RowOutcome
from tailrace.core.snapshots import UNKNOWN_VERSION

_TRACE_LENGTH = 8
_TOLD_S = 60.0
_CLEARING = {"null": Clearing.BY_NULL, "empty_text": Clearing.BY_EMPTY_TEXT, "left_out": Clearing.NOT}


class ManifestDestination(Destination):
    """Does what its manifest says.

    It keeps nothing between calls but its access token, what the vendor said about the requests that are left, and the
    fields that it told, which a plan takes for a minute.
    """

    manifest: Manifest
    can_leave_out = True
    settings_type: ClassVar[type[ConnectionSettings]]

    def __init__(self, settings: ConnectionSettings, http: HttpClient, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._sign_in = SignIn(self.manifest.auth, self.values(settings), http, clock)
        told = self.manifest.settings_of_requests
        self._of_requests = {name: text for name, text in self._sign_in.values.items() if name in told}
        self._others = self.secrets(settings)
        self._pressure = Pressure(self.manifest.buckets, settings.rates, clock)
        self._caller = Caller(self.manifest, self._sign_in, self._pressure, clock, settings.base_url)
        self._told: dict[str, tuple[float, Sequence[Field]]] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: BaseModel, http: HttpClient) -> AsyncIterator[Self]:
        if not isinstance(settings, cls.settings_type):
            raise TypeError(f"{cls.__name__} opens with {cls.settings_type.__name__}")
        known = [bucket.name for bucket in cls.manifest.buckets]
        if not settings.rates.keys() <= set(known):
            raise DestinationInvalid(f"{cls.label} has no such rate; it has {', '.join(known) or 'none'}")
        yield cls(settings, http, SystemClock())

    async def check(self) -> None:
        await self._asked(self.manifest.check)

    async def objects(self) -> Sequence[Object]:
        return await objects_of(self.manifest, self._asked)

    async def fields(self, object_name: str) -> Sequence[Field]:
        found = await fields_of(self.manifest, object_name, self._asked)
        self._told[object_name] = self._clock.monotonic(), found
        return found

    async def plan(self, target: Target) -> WritePlan:
        fields = await self._fields_now(target.object_name)
        write = check_target(self.manifest.family_of(target.object_name), target, fields)
        most_rows, most_bytes = write.max_rows.rows, self._most_bytes(write)
        # One row a request is how the request is made, not how much an account may send.
        rows = 1 if most_rows == 1 else self._settings.rows_per_batch or most_rows
        frame = self._frame(target)
        empty = empty_bytes(write.ask_by(frame.key_name), frame, rows)
        return WritePlan(
            target=target,
            rows_per_batch=rows,
            bytes_per_batch=most_bytes - min(empty, most_bytes // 2),
            is_idempotent=write.is_idempotent,
            requests_per_s=self._pressure.requests_per_s(write.bucket),
            identity_of=self._identity_of(target, write),
        )

    async def write(self, plan: WritePlan, batch: Batch) -> BatchResult:
        return await self._written(plan, batch, self._operation(plan))

    async def _written(self, plan: WritePlan, batch: Batch, write: Write) -> BatchResult:
        """Write a batch by an operation, or by what was made of one."""
        made = self._made(plan, batch)
        rows = [row for row in made if isinstance(row, Rendered)]
        sent = iter(await self._delivery(plan, batch, write).send(rows) if rows else ())
        outcomes = [next(sent) if isinstance(row, Rendered) else row for row in made]
        secrets = secret_words((*self._sign_in.secrets, *self._others))
        return BatchResult(batch, all_masked(outcomes, secrets))

    async def found(self, plan: WritePlan, batch: Batch, key: LookedUpKey) -> Sequence[Collection[str] | RowOutcome]:
        """The vendor's own ids of each row, looked up by this key; or why the row cannot be sent."""
        made = self._made(plan, batch)
        rows = [row for row in made if isinstance(row, Rendered)]
        ids = iter(await self._delivery(plan, batch, self._operation(plan)).ids(key, rows) if rows else ())
        return [next(ids) if isinstance(row, Rendered) else row for row in made]

    def values(self, settings: ConnectionSettings) -> Mapping[str, str]:
        """The settings by name, as text, secrets opened."""
        return values_of(settings, self.manifest.all_settings)

    def secrets(self, settings: ConnectionSettings) -> Sequence[str]:
        """Secrets besides the credentials, which vendors must not be quoted with either."""
        return ()

    async def _asked(self, path: str, body: Mapping[str, object] | None = None) -> object:
        """The document that answers a question of the manifest, with the settings in its address."""
        return await self._caller.ask(filled(path, self._sign_in.values), body)

    def _made(self, plan: WritePlan, batch: Batch) -> Sequence[Rendered | RowOutcome]:
        family, trace = self.manifest.family_of(plan.target.object_name), batch.idempotency_key[:_TRACE_LENGTH]
        return [render(row, f"{trace}-{at}", plan.target, family) for at, row in enumerate(batch.rows)]

    def _identity_of(self, target: Target, write: Write) -> Callable[[bytes], bytes] | None:
        """What is sent for a key, where Python of the manifest's own makes it."""
        family, frame = self.manifest.family_of(target.object_name), self._frame(target)
        if family.hooks.row is None and family.hooks.key is None:
            return None

        def identity_of(record: bytes) -> bytes:
            made = render(Row(RowKey(()), record, UNKNOWN_VERSION), "", target, family)
            try:
                return dumped(fill(write.row, frame, made)) if isinstance(made, Rendered) else record
            except ValueError:
                return record

        return identity_of

    def _operation(self, plan: WritePlan) -> Write:
        return self.manifest.family_of(plan.target.object_name).operations[plan.target.operation]

    def _delivery(self, plan: WritePlan, batch: Batch, write: Write) -> Delivery:
        frame = self._frame(plan.target, batch.idempotency_key)
        return Delivery(self._caller, frame, write, self._most_bytes(write), self._clock)

    async def _fields_now(self, object_name: str) -> Sequence[Field]:
        told_at, found = self._told.get(object_name, (-_TOLD_S, ()))
        return found if self._clock.monotonic() < told_at + _TOLD_S else await self.fields(object_name)

    def _frame(self, target: Target, batch_id: str = "") -> Frame:
        family = self.manifest.family_of(target.object_name)
        name = target.object_name.removeprefix(family.objects.prefix)
        return Frame(target, name, batch_id, family.fields.known_names, self._of_requests)

    def _most_bytes(self, write: Write) -> int:
        return self._settings.bytes_per_batch or write.max_size.size_bytes


def manifest_of(destination: type[Destination]) -> Manifest | None:
    """The manifest of a class of destinations, if it has one for all of its connections."""
    found = getattr(destination, "manifest", None)
    return found if isinstance(found, Manifest) else None


def destination_of(manifest: Manifest) -> type[ManifestDestination]:
    """The class of destinations that the manifest describes."""
    members = {
        "__doc__": f"{manifest.label}, as its manifest says.",
        "__module__": __name__,
        "manifest": manifest,
        "name": manifest.name,
        "label": manifest.label,
        "level": manifest.level,
        "verified_against": manifest.verified_against,
        "settings_type": settings_type(manifest.name, manifest.all_settings),
        "clearing": _CLEARING[manifest.encoding.null],
        "lists_all_fields": manifest.fields.are_all,
    }
    lists = (WithLists,) if any(kind.has_members for kind in manifest.kinds) else ()
    fields = (WithNewFields,) if manifest.new_fields is not None else ()
    return type(f"{manifest.label.replace(' ', '')}Destination", (*lists, *fields, ManifestDestination), members)
