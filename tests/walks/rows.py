"""Rows as a multiset: what should have arrived against what did."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson

Row = Mapping[str, Any]
Rows = Counter[bytes]
"""Fingerprints of rows, and how often each is there: a year of rows themselves would take half a gigabyte."""

_SPELLING = orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z
_SIZE_BYTES = 16


@dataclass(frozen=True, slots=True)
class Difference:
    """How many rows did not come, came from nowhere, or came again."""

    lost: int = 0
    invented: int = 0
    repeated: int = 0


NONE = Difference()


def fingerprint(row: Row) -> bytes:
    """The same for two rows if they say the same; times are read in UTC."""
    return blake2b(orjson.dumps(row, option=_SPELLING), digest_size=_SIZE_BYTES).digest()


def rows_of(rows: Iterable[Row]) -> Rows:
    """The multiset of these rows."""
    return Counter(map(fingerprint, rows))


def compare(arrived: Rows, wanted: Rows) -> Difference:
    """What is wrong with the rows that arrived. A row of another content is one lost and one invented."""
    surplus = arrived - wanted
    invented = sum(count for row, count in surplus.items() if row not in wanted)
    return Difference((wanted - arrived).total(), invented, surplus.total() - invented)
