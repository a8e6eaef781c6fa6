"""The second phase of a mirror run: what left the query is deleted, once all of the query was read.

While rows were read, keys that are gone were marked in the snapshot. A key that came back is marked no more. So many
keys gone at once that a mistake in the query is more likely stop the run before the first of them is deleted.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tailrace.core.errors import Invalid
from tailrace.core.keys import canonical, key_record
from tailrace.core.rows import Change, Row, RowKey
from tailrace.core.runs import DELETE_GUARD
from tailrace.core.snapshots import Entry, hash_row
from tailrace.pipeline.plain import MappedRow, RowChange

FREE_DELETES = 10
"""So many rows may be deleted whatever the ratio, but never more than half of all: small tables change in leaps."""

_LOOKED_UP_TOGETHER = 20_000
_ROUNDING = 1e-9

Living = Callable[[], AsyncIterator[Sequence[Entry]]]
"""All entries, those of rows that are in the query among them."""


@dataclass(frozen=True, slots=True)
class Census:
    """How many rows were delivered and not deleted since, and how many of them are marked as gone."""

    delivered: int
    gone: int


class Marked(Protocol):
    """The marks that the first phase left in the snapshot."""

    async def merge(self) -> None:
        """Take in what this run has settled, so that it is seen."""
        ...

    async def census(self) -> Census:
        """All that was delivered, and what of it this run would delete."""
        ...

    def gone(self, *, after: RowKey | None) -> AsyncIterator[Sequence[Entry]]:
        """Marked entries in key order behind a key."""
        ...

    def all_entries(self) -> AsyncIterator[Sequence[Entry]]:
        """All entries of the sync, those of keys that this run does not look at among them."""
        ...


def check_deletes(census: Census, max_delete_ratio: float, *, confirmed: int = 0) -> None:
    """Return if what is gone may be deleted: so many as are confirmed may, whatever the ratio.

    :raises Invalid: `DELETE_GUARD`, with how to allow it.
    """
    allowed = max(deletes_allowed(census.delivered, max_delete_ratio), confirmed)
    if census.gone <= allowed:
        return
    raise Invalid(
        f"{census.gone} of the {census.delivered} rows delivered are gone from the query, at most {allowed} may be"
        " deleted by one run: nothing was deleted, all else was delivered. If these rows are to go, confirm the deletes"
        f" of this run, or raise the sync's maxDeleteRatio to {_ratio_for(census)} for one run; if not, mend the query",
        code=DELETE_GUARD,
    )


def deletes_allowed(delivered: int, max_delete_ratio: float) -> int:
    """How many of so many rows one run may delete; all of them only where the ratio is 1."""
    return max(int(delivered * max_delete_ratio + _ROUNDING), min(FREE_DELETES, delivered // 2))


async def deletes(
    gone: AsyncIterator[Sequence[Entry]],
    key_fields: Sequence[str],
    living: Living | None = None,
    identity_of: Callable[[bytes], bytes] = canonical,
) -> AsyncIterator[Sequence[RowChange]]:
    """Marked entries as rows to delete: their keys as they were sent.

    With `living`, where keys of the query may be one at the destination, an entry whose key was sent for a living row
    too comes without a row: to delete it would delete that row's record. `identity_of` tells which keys are one.
    """
    async for entries in gone if living is None else _together(gone):
        kept = (
            frozenset[RowKey]()
            if living is None
            else await _sent_for_others(entries, living(), lambda entry: identity_of(key_record(key_fields, entry)))
        )
        yield [
            RowChange(Change.REMOVED, known=entry) if entry.key in kept else _removed(entry, key_fields)
            for entry in entries
        ]


async def _together(gone: AsyncIterator[Sequence[Entry]]) -> AsyncIterator[Sequence[Entry]]:
    """Many at once, since all that lives is gone through for each of the lists."""
    held: list[Entry] = []
    async for entries in gone:
        held += entries
        if len(held) >= _LOOKED_UP_TOGETHER:
            yield held
            held = []
    if held:
        yield held


async def _sent_for_others(
    gone: Sequence[Entry], living: AsyncIterator[Sequence[Entry]], identity: Callable[[Entry], bytes]
) -> frozenset[RowKey]:
    records = {entry.key: identity(entry) for entry in gone}
    sent = set(records.values())
    held: set[bytes] = set()
    async for entries in living:
        living_ones = (each for each in entries if each.delivered is not None and not each.is_gone)
        held.update(sent.intersection(map(identity, living_ones)))
    return frozenset(key for key, record in records.items() if record in held)


def _removed(entry: Entry, key_fields: Sequence[str]) -> RowChange:
    body = key_record(key_fields, entry)
    return RowChange(Change.REMOVED, MappedRow(Row(entry.key, body, hash_row(body)), entry.key), entry)


def _ratio_for(census: Census) -> float:
    """The smallest ratio of two digits that lets this pass."""
    return next(
        percent / 100 for percent in range(101) if deletes_allowed(census.delivered, percent / 100) >= census.gone
    )
