"""Keys that are two in the query and one at the destination, where a mapping casts, hashes or fits them."""

from collections.abc import Collection, Sequence
from hashlib import blake2b

from tailrace.connector_kit.field_kinds import FieldKind
from tailrace.core.rows import Column, ColumnKind, rejected
from tailrace.core.syncs import FieldMapping, SyncDefinition
from tailrace.mapping.accepted import Accepted

DUPLICATE_MAPPED_KEY = "DUPLICATE_MAPPED_KEY"
TAKEN = rejected(
    DUPLICATE_MAPPED_KEY,
    "an earlier row of the query has the same key once it is mapped: make them one row in the query",
)

_MOST = 1_000_000
_DIGEST_BYTES = 16
_AS_THEY_COME = frozenset({FieldKind.TEXT, FieldKind.ANY})
_WHOLE_NUMBERS_FIT = frozenset({FieldKind.INTEGER, FieldKind.NUMBER})


def keys_may_meet(definition: SyncDefinition, accepted: Accepted, columns: Sequence[Column] = ()) -> bool:
    """Whether two keys of the query may be sent as one, as far as its columns are known."""
    whole = {column.name for column in columns if column.kind is ColumnKind.INTEGER}
    return any(_may_meet(mapping, accepted, whole) for mapping in definition.field_mappings if mapping.key)


def _may_meet(mapping: FieldMapping, accepted: Accepted, whole: Collection[str]) -> bool:
    if not mapping.is_plain:
        return True
    field = accepted.fields.get(mapping.destination)
    as_it_comes = _AS_THEY_COME if mapping.source not in whole else _AS_THEY_COME | _WHOLE_NUMBERS_FIT
    return field is not None and field.kind not in as_it_comes


class SentKeys:
    """The keys that the rows of a run were mapped to, in 16 bytes each; those behind the first million are not held."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._seen: set[bytes] = set()

    def is_first(self, record: bytes) -> bool:
        """Whether no row before was mapped to the key of this record, as far as is known."""
        digest = blake2b(record, digest_size=_DIGEST_BYTES).digest()
        if digest in self._seen:
            return False
        if len(self._seen) < self._most:
            self._seen.add(digest)
        return True
