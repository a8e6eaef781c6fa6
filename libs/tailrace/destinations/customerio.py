"""Customer.io: people, by the batch endpoint of the Track API, version 2. Not verified against Customer.io.

People are known by `id`, `email` or `cio_id`. Attributes are made as they come. Of a batch, Customer.io takes what is
valid and says by its position what is not. It says nothing about how long to wait.
"""

from datetime import date

from tailrace.connector_kit.destination import Level
from tailrace.connector_kit.manifest.attribution import Indexed, Reason
from tailrace.connector_kit.manifest.auth import Basic
from tailrace.connector_kit.manifest.encoding import Encoding
from tailrace.connector_kit.manifest.limits import Bucket, RowLimit, SizeLimit
from tailrace.connector_kit.manifest.model import KnownObject, Manifest, Objects
from tailrace.connector_kit.manifest.settings import Setting
from tailrace.connector_kit.manifest.templates import Slot
from tailrace.connector_kit.manifest.throttles import SaysNothing
from tailrace.connector_kit.manifest.writes import IdentityKey, Write
from tailrace.core.rows import Operation

CHECKED = date(2026, 11, 22)
DOCS = "https://docs.customer.io/integrations/api/track/"


def batch(action: str, **row: Slot) -> Write:
    """A batch of people with this action."""
    return Write(
        path="/api/v2/batch",
        rows_at="batch",
        row={"type": "person", "identifiers": {Slot.KEY_NAME: Slot.KEY}, "action": action, **row},
        key=IdentityKey(fields=("id", "email", "cio_id")),
        max_rows=RowLimit(at_most="1000 rows", source=DOCS, checked=CHECKED, note="a number of ours: there is none"),
        max_size=SizeLimit(at_most="500 kB", source=DOCS, checked=CHECKED),
        max_row_size=SizeLimit(at_most="32 kB", source=DOCS, checked=CHECKED),
        is_idempotent=True,
        attribution=Indexed(index="batch_index", reason=Reason(code="reason", message="message", field="field")),
    )


MANIFEST = Manifest(
    name="customerio",
    label="Customer.io",
    level=Level.BRONZE,
    verified_against="answers made after Customer.io's API description; not against the real Customer.io",
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
        Operation.UPSERT: batch("identify", attributes=Slot.OTHERS),
        Operation.DELETE: batch("delete"),
    },
    refusal=Reason(code="errors.0.reason", message="errors.0.message", field="errors.0.field"),
)
