"""A destination by a manifest, opened against its stand-in, with rows to write to it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus

import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tailrace.connector_kit.destination import Target, WritePlan
from tailrace.connector_kit.manifest.attribution import Job, Keyed
from tailrace.connector_kit.manifest.engine import ManifestDestination, destination_of
from tailrace.connector_kit.manifest.model import Fields, Manifest
from tailrace.connector_kit.manifest.sent_rows import Sent
from tailrace.connector_kit.manifest.settings import Setting
from tailrace.connector_kit.manifest.stand_in import LISTED_OBJECT, OTHER_FIELD, StandIn, Told, said, state, submitted
from tailrace.connector_kit.manifest.targets import holes_in, takes_fields
from tailrace.connector_kit.manifest.templates import REFUSING, Filter, Hole
from tailrace.connector_kit.manifest.writes import Write
from tailrace.core.batches import Batch, BatchResult
from tailrace.core.rows import Operation, Row, RowKey
from tailrace.core.snapshots import hash_row

PRIVATE = "private-value-of-a-row"
SECRET = "canary-of-a-secret-5512"  # noqa: S105 - stands for one

_BATCH_ID = "0123456789abcdef"
_ANY_KEY = "key-{n}"
_KEY_BITS = 2048


@dataclass(frozen=True, slots=True)
class Stage:
    """An operation of a manifest, ready to be tried."""

    manifest: Manifest
    write: Write
    plan: WritePlan
    vendor: StandIn
    destination: ManifestDestination

    def keys(self, count: int) -> list[str]:
        """The keys of so many rows."""
        return _keys(self.manifest, self.plan.target.key_fields[0], count)

    def rows(self, count: int, *, size: int = 0) -> list[Row]:
        """So many rows, each with a private value, of at least that size."""
        key_name = self.plan.target.key_fields[0]
        examples = {known.name: known.example for known in self.manifest.fields.known}
        named = _named(self.manifest, self.write, key_name)
        made_up = {name: examples.get(name) or _made_up(hole) for name, hole in named.items()}
        has_other = OTHER_FIELD in self.plan.target.fields
        bodies = [
            orjson.dumps(
                made_up | {key_name: key} | ({OTHER_FIELD: f"{PRIVATE}-{at}" + "x" * size} if has_other else {})
            )
            for at, key in enumerate(self.keys(count))
        ]
        return [Row(RowKey((key,)), body, hash_row(body)) for key, body in zip(self.keys(count), bodies, strict=True)]

    def batch(self, rows: Sequence[Row]) -> Batch:
        """The rows as one batch."""
        return Batch(self.plan.target.operation, rows, _BATCH_ID)

    def sent(self, count: int) -> list[Sent]:
        """What the answer can point at, of so many rows."""
        read = self.write.read
        if isinstance(read, Keyed) and read.names == "found":
            return [Sent(f"id-{key}", f"{_BATCH_ID[:8]}-{at}") for at, key in enumerate(self.keys(count))]
        fold = read.folded if isinstance(read, Keyed) else str
        hook = self.manifest.hooks.key or str
        return [Sent(fold(hook(key)), f"{_BATCH_ID[:8]}-{at}") for at, key in enumerate(self.keys(count))]

    def answer(self, count: int, *failed: int) -> None:
        """Let the vendor say that these of so many rows failed."""
        told = said(self.manifest, self.write, self.sent(count), failed)
        self.answer_with(told)

    def answer_with(self, *told: Told) -> None:
        """Let the vendor give these answers; to a job, the last one is its results."""
        attribution = self.write.attribution
        last = told[-1]
        if isinstance(attribution, Job) and not isinstance(last, Exception) and last.status == HTTPStatus.OK:
            self.vendor.answer(*told[:-1], submitted(attribution), later=(state(attribution, last), last))
        else:
            self.vendor.answer(*told)

    async def send(self, count: int) -> BatchResult:
        """Write so many rows."""
        return await self.destination.write(self.plan, self.batch(self.rows(count)))


@asynccontextmanager
async def staged(manifest: Manifest, operation: Operation, key_name: str = "") -> AsyncIterator[Stage]:
    """An operation of a manifest, ready to be tried for as long as the scope lasts; by this key or by its first."""
    write = manifest.operations[operation]
    key_name = key_name or _key_name(manifest, write)
    found = () if operation is Operation.INSERT else _keys(manifest, key_name, write.max_rows.rows)
    vendor = StandIn(manifest, write, key_name, found)
    connector = destination_of(manifest)
    settings = connector.settings_type.model_validate(
        {setting.name: _filled(setting) for setting in manifest.all_settings}
    )
    async with connector.open(settings, vendor) as destination:
        name = next((known.name for known in manifest.objects.known), manifest.objects.prefix + LISTED_OBJECT)
        named = sorted(_named(manifest, write, key_name).keys() - {key_name})
        has_other = takes_fields(write, operation, key_name) and _has_others(manifest.fields)
        fields = (key_name, *named, *([OTHER_FIELD] if has_other else []))
        plan = await destination.plan(Target(name, operation, (key_name,), fields))
        yield Stage(manifest, write, plan, vendor, destination)


def _key_name(manifest: Manifest, write: Write) -> str:
    known = [field.name for field in manifest.fields.known if field.is_key]
    return next(iter((*write.key.fields, *known)), "key_field")


def _keys(manifest: Manifest, key_name: str, count: int) -> list[str]:
    examples = [known.example for known in manifest.fields.known if known.name == key_name and "{n}" in known.example]
    return [next(iter(examples), _ANY_KEY).replace("{n}", str(at)) for at in range(count)]


def _named(manifest: Manifest, write: Write, key_name: str) -> Mapping[str, Hole]:
    """The fields that the request names; where a hook changes rows, some are made by it, which no row has."""
    own = None if manifest.hooks.row is None else manifest.fields.known_names
    return {hole.field: hole for hole in holes_in(write, key_name) if hole.field and (own is None or hole.field in own)}


def _has_others(fields: Fields) -> bool:
    """Whether there may be other fields than those that every account has."""
    return not fields.known or fields.listing is not None or not fields.are_all


def _made_up(hole: Hole) -> str:
    """A value that the filters take."""
    if not REFUSING.intersection(hole.filters):
        return PRIVATE
    return "7" if Filter.NUMBER in hole.filters else "2026-11-22"


def _filled(setting: Setting) -> str:
    if setting.choices:
        return next(iter(setting.choices))
    if setting.name == "private_key":
        return _rsa_key()
    return SECRET if setting.secret else setting.default or setting.example


@cache
def _rsa_key() -> str:
    key = generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
