"""A source row on its way: read, mapped, compared, and told what became of it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import compress, count, repeat
from operator import is_not
from typing import NewType

RowKey = NewType("RowKey", tuple[str, ...])
"""The key as the warehouse writes it in text, a part a key column. Ordered as Python orders tuples of str."""

RowHash = NewType("RowHash", bytes)
"""Eight bytes that stand for the mapped content of a row."""

SourceHash = NewType("SourceHash", int)
"""A signed number of 64 bits that stands for what the warehouse holds of a row, see `connector_kit.row_hashes`."""

UNKNOWN_SOURCE = SourceHash(0)
"""Stands for a row of which no such hash is known."""


class ColumnKind(StrEnum):
    """How a value of a column arrives from the warehouse, so that the encoder writes it exactly."""

    TEXT = "text"
    INTEGER = "integer"
    FLOAT = "float"
    DECIMAL = "decimal"  # as text, all digits kept
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"  # as ISO 8601 text, UTC where the type has a zone
    JSON = "json"  # as JSON text
    OTHER = "other"  # anything that JSON can hold as it is


IN_DOUBT = "IN_DOUBT"
"""The code of a row that may have been applied."""

CODE_LIMIT = 64
"""Characters of an error code that are kept."""

_UNFIT = re.compile(r"[^A-Za-z0-9_.:-]+")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the source query."""

    name: str
    kind: ColumnKind


class DistinctKeys(list[RowKey]):
    """Keys of which none has a NULL, is too long, or is the one before it."""


@dataclass(frozen=True, slots=True)
class Block:
    """Up to a few thousand source rows in the warehouse's order, in its own cheap form.

    `keys[i]` belongs to `rows[i]`; None where a part of the key is NULL. Rows with such a key come last in a read.
    So do `sources`, where the warehouse was asked for hashes too.
    """

    rows: Sequence[tuple[object, ...]]
    keys: Sequence[RowKey | None]
    sources: Sequence[SourceHash] | None = None


class Change(StrEnum):
    """What happened to a row since it was last delivered."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"
    UNCHANGED = "unchanged"


class Operation(StrEnum):
    """What the destination is asked to do with a row."""

    UPSERT = "upsert"
    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Row:
    """A mapped row. `body` is its JSON object, encoded once: requests, hashes and dead letters are slices of it."""

    key: RowKey
    body: bytes
    row_hash: RowHash


class Verdict(StrEnum):
    """The five things that can become of a row of a batch."""

    DELIVERED = "delivered"
    SKIPPED = "skipped"
    REJECTED = "rejected"
    RETRY = "retry"
    UNKNOWN = "unknown"  # sent, and the destination may have applied it


@dataclass(frozen=True, slots=True)
class RowOutcome:
    """What became of one row. `message` is the destination's own; it may hold row values and is never logged."""

    verdict: Verdict
    code: str = ""
    message: str = ""
    field: str | None = None
    retry_after_s: float | None = None


DELIVERED = RowOutcome(Verdict.DELIVERED)


def not_delivered(outcomes: Sequence[RowOutcome]) -> list[int]:
    """The places of outcomes that say more than `DELIVERED`, or something else."""
    if outcomes == [DELIVERED] * len(outcomes):  # told at the first that is another
        return []
    return list(compress(count(), map(is_not, outcomes, repeat(DELIVERED))))


@lru_cache(maxsize=1000)
def fit_code(code: str) -> str:
    """An error code that fits into labels and events: ASCII letters, digits and `_.:-`, not too many of them."""
    return _UNFIT.sub("_", code)[:CODE_LIMIT] or "UNKNOWN"


def rejected(code: str, message: str, *, field: str | None = None) -> RowOutcome:
    """The row is refused for good: it becomes a dead letter."""
    return RowOutcome(Verdict.REJECTED, code, message, field)


def skipped(code: str) -> RowOutcome:
    """The row needs nothing."""
    return RowOutcome(Verdict.SKIPPED, code)


def retry(code: str, message: str, *, retry_after_s: float | None = None) -> RowOutcome:
    """The row was not applied, and may be if it is sent again."""
    return RowOutcome(Verdict.RETRY, code, message, retry_after_s=retry_after_s)


def unknown(message: str) -> RowOutcome:
    """The row may or may not have been applied."""
    return RowOutcome(Verdict.UNKNOWN, IN_DOUBT, message)
