"""Customer.io: people, by the batch endpoint of the Track API, version 2. Not verified against Customer.io.

People are known by `id`, `email`, `phone` or `cio_id`, as the workspace is set up; what is mapped besides becomes an
attribute, an address too. Attributes are made as they come. Of a batch, Customer.io takes what is valid and says by its
position what is not. It says nothing about how long to wait.

Events are appended: map `id` (the person's), `name` and `timestamp`; what else is mapped becomes their attributes. Each
carries a ULID, by which Customer.io takes the events of a batch that is sent again for the same.
"""

from datetime import date

from tailrace.connector_kit.destination import Level
from tailrace.connector_kit.manifest.attribution import Indexed, Reason
from tailrace.connector_kit.manifest.auth import Basic
from tailrace.connector_kit.manifest.encoding import Encoding
from tailrace.connector_kit.manifest.limits import Bucket, RowLimit, SizeLimit
from tailrace.connector_kit.manifest.model import Kind, KnownObject, Manifest, Objects
from tailrace.connector_kit.manifest.settings import Setting
from tailrace.connector_kit.manifest.templates import Slot, Template
from tailrace.connector_kit.manifest.throttles import SaysNothing
from tailrace.connector_kit.manifest.writes import IdentityKey, NamedKey, Write
from tailrace.core.rows import Operation

CHECKED = date(2026, 11, 22)
DOCS = "https://docs.customer.io/integrations/api/track/"


def batch(row: dict[str, Template], keys: NamedKey | IdentityKey, *, appends: bool = False) -> Write:
    """A batch of people, or of what they did."""
    return Write(
        path="/api/v2/batch",
        rows_at="batch",
        row={"type": "person", **row},
        key=keys,
        appends=appends,
        max_rows=RowLimit(at_most="1000 rows", source=DOCS, checked=CHECKED, note="a number of ours: there is none"),
        max_size=SizeLimit(at_most="500 kB", source=DOCS, checked=CHECKED),
        max_row_size=SizeLimit(at_most="32 kB", source=DOCS, checked=CHECKED),
        is_idempotent=True,
        attribution=Indexed(index="batch_index", reason=Reason(code="reason", message="message", field="field")),
    )


KEYS = NamedKey(fields=("id", "email", "phone", "cio_id"))
PERSON: dict[str, Template] = {"identifiers": {Slot.KEY_NAME: Slot.KEY}}
EVENTS = Kind(
    objects=Objects(known=(KnownObject(name="events", label="Events"),)),
    operations={
        Operation.INSERT: batch(
            {
                "identifiers": {"id": "$fields.id|text"},
                "action": "event",
                "id": Slot.ULID,
                "name": "$fields.name",
                "timestamp": "$fields.timestamp|epoch_s",
                "attributes": Slot.OTHERS,
            },
            IdentityKey(fields=("id", "name", "timestamp")),
            appends=True,
        )
    },
)

MANIFEST = Manifest(
    name="customerio",
    label="Customer.io",
    level=Level.BRONZE,
    verified_against="Customer.io's API description of 2026-10-04 by made-up answers; not against the real Customer.io",
    docs=DOCS,
    checked=CHECKED,
    base_url="{region}",
    settings=(
        Setting(
            name="region",
            description="where the workspace's data is kept",
            choices={"us": "https://track.customer.io", "eu": "https://track-eu.customer.io"},
            default="us",
        ),
    ),
    auth=Basic(names=("site_id", "api_key")),
    buckets=(Bucket(name="fair_use", rate="100/1s", source=DOCS, checked=CHECKED),),
    throttles=(SaysNothing(then_s=1),),
    check="/api/v1/accounts/region",
    objects=Objects(known=(KnownObject(name="people", label="People"),)),
    encoding=Encoding(key="text"),
    operations={
        Operation.UPSERT: batch({**PERSON, "action": "identify", "attributes": Slot.OTHERS}, KEYS),
        Operation.DELETE: batch({**PERSON, "action": "delete"}, KEYS),
    },
    kinds=(EVENTS,),
    refusal=Reason(code="errors.0.reason", message="errors.0.message", field="errors.0.field"),
)
