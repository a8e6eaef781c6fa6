"""Keys that are two in the query and one at the destination, where a mapping casts, hashes or fits them."""

from collections.abc import Sequence
from hashlib import blake2b

from tailrace.core.keys import canonical
from tailrace.core.rows import Column, ColumnKind, rejected
from tailrace.core.syncs import SyncDefinition
from tailrace.mapping.accepted import Accepted
from tailrace.mapping.fields import conversions

DUPLICATE_MAPPED_KEY = "DUPLICATE_MAPPED_KEY"
TAKEN = rejected(
    DUPLICATE_MAPPED_KEY,
    "an earlier row of the query has the same key once it is mapped: make them one row in the query",
)

_WRITTEN_IN_SEVERAL_WAYS = frozenset({ColumnKind.DECIMAL, ColumnKind.FLOAT, ColumnKind.JSON})
_MOST = 1_000_000
_DIGEST_BYTES = 16


def keys_may_meet(definition: SyncDefinition, accepted: Accepted, columns: Sequence[Column] = ()) -> bool:
    """Whether two keys of the query may be sent as one, as far as its columns are known."""
    # A number with a fraction may be written in several ways, and is the same number to most destinations.
    kinds, policy = {column.name: column.kind for column in columns}, definition.on_type_mismatch
    for mapping in (each for each in definition.field_mappings if each.key):
        # Of text, which a column that is not known may hold, every field makes what it takes.
        kind = kinds.get(mapping.source or "", ColumnKind.TEXT)
        if (
            kind in _WRITTEN_IN_SEVERAL_WAYS
            or not mapping.is_plain
            or conversions(mapping, kind, accepted, policy).steps
        ):
            return True
    return False


class SentKeys:
    """The keys that the rows of a run were mapped to, in 16 bytes each; those behind the first million are not held."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._seen: set[bytes] = set()

    def is_first(self, record: bytes) -> bool:
        """Whether no row before was mapped to the key of this record, as far as is known."""
        digest = blake2b(canonical(record), digest_size=_DIGEST_BYTES).digest()
        if digest in self._seen:
            return False
        if len(self._seen) < self._most:
            self._seen.add(digest)
        return True
