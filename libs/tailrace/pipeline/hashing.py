"""What a warehouse's hash of a row has to cover, so that the same hash means that the same would be sent.

What is sent follows from the texts of the columns that are mapped, from how they are mapped, and from what the
destination takes. The texts are hashed, or the one that tells the version of a row; all else goes into the seed: where
any of it changes, every hash is another.
"""

from collections.abc import Sequence
from hashlib import blake2b
from importlib.metadata import version

from tailrace.connector_kit.row_hashes import Hashing
from tailrace.core.rows import Column
from tailrace.core.syncs import SyncDefinition
from tailrace.mapping.accepted import Accepted
from tailrace.mapping.checks import columns_read

_SEED_BYTES = 8
_WRITERS = tuple(f"{name} {version(name)}" for name in ("tailrace", "orjson", "phonenumberslite", "python-liquid"))
"""By what rows are mapped and written: a new release may write a value in another way."""


def hashing_of(definition: SyncDefinition, columns: Sequence[Column], accepted: Accepted, row_hash: str) -> Hashing:
    """The columns and the seed for a sync; `row_hash` names how the warehouse makes hashes."""
    read = sorted(columns_read(definition) | set(definition.key_columns))
    hashed = read if definition.version_column is None else [definition.version_column]
    kinds = {column.name: column.kind for column in columns}
    fields = [accepted.fields.get(mapping.destination) for mapping in definition.field_mappings]
    basis = (
        _WRITERS,
        row_hash,
        definition.source_id,
        definition.source_query,
        definition.field_mappings,
        definition.on_type_mismatch,
        [(name, kinds.get(name)) for name in read],
        definition.version_column,
        [field and field.kind for field in fields],
        (accepted.are_all, accepted.can_leave_out, accepted.clearing),
    )
    digest = blake2b(repr(basis).encode(errors="surrogatepass"), digest_size=_SEED_BYTES).digest()
    return Hashing(hashed, int.from_bytes(digest, signed=True))
