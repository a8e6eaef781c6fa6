"""Entries in columns: most of them are a key and the hash that was delivered, and never become an object."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import chain, repeat
from typing import NamedTuple, Self, TypeAlias, TypeVar, overload

from tailrace.core.rows import UNKNOWN_SOURCE, RowHash, RowKey, SourceHash
from tailrace.core.snapshots import Entry, is_old

Item = TypeVar("Item")
Told: TypeAlias = RowHash | Entry
"""The hash of the version delivered, or the whole entry where there is more to say; but for what `sources` tell."""


class PlainEntries(NamedTuple):
    """Keys with the hashes delivered, in key order, and the warehouse's where they are known."""

    keys: Sequence[RowKey]
    hashes: Sequence[RowHash]
    sources: Sequence[SourceHash] | None = None


class EntryColumns(Sequence[Entry]):
    """Entries in key order, each key once: `keys`, and beside them what is `told` of each.

    `is_plain` where all are told by their hashes. `sources` is None where none is known.
    """

    __slots__ = ("is_plain", "keys", "sources", "told")

    def __init__(
        self,
        keys: Sequence[RowKey],
        told: Sequence[Told],
        *,
        is_plain: bool,
        sources: Sequence[SourceHash] | None = None,
    ) -> None:
        self.keys = keys
        self.told = told
        self.is_plain = is_plain
        self.sources = sources

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> Self:
        """Entries that are in key order."""
        if isinstance(entries, cls):
            return entries
        return cls._of_rows([(entry.key, told_of(entry), entry.source) for entry in entries])

    @classmethod
    def gathered(cls, plain: Sequence[PlainEntries], odd: Sequence[Entry]) -> Self:
        """Plain entries in stretches, no two of them over the same keys, and among them others."""
        if not plain:
            return cls.of(sorted(odd, key=_key))
        plain = sorted(plain, key=_first_key)
        keys = list(chain.from_iterable(some.keys for some in plain))
        told: list[Told] = list(chain.from_iterable(some.hashes for some in plain))
        sources: list[SourceHash] | None = None
        if not all(some.sources is None for some in plain):
            sources = [source for some in plain for _, source in zip(some.keys, _filled(some), strict=False)]
        columns = cls(keys, told, is_plain=True, sources=sources)
        return columns._with(sorted(odd, key=_key)) if odd else columns

    def _with(self, odd: Sequence[Entry]) -> Self:
        """With further entries, in key order, of other keys."""
        places = [bisect_right(self.keys, entry.key) for entry in odd]
        told = [told_of(entry) for entry in odd]
        sources: Sequence[SourceHash] | None = None
        if self.sources is not None or any(entry.source for entry in odd):
            known = [UNKNOWN_SOURCE] * len(self) if self.sources is None else self.sources
            sources = _merged(known, [entry.source for entry in odd], places)
        return type(self)(
            _merged(self.keys, [entry.key for entry in odd], places),
            _merged(self.told, told, places),
            is_plain=self.is_plain and not any(isinstance(one, Entry) for one in told),
            sources=sources,
        )

    @classmethod
    def _of_rows(cls, rows: "Sequence[tuple[RowKey, Told, SourceHash]]") -> Self:
        keys = [key for key, _, _ in rows]
        told = [one for _, one, _ in rows]
        sources = [source for _, _, source in rows]
        is_plain = not any(isinstance(one, Entry) for one in told)
        return cls(keys, told, is_plain=is_plain, sources=sources if any(sources) else None)

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, at: int) -> Entry: ...

    @overload
    def __getitem__(self, at: slice) -> "EntryColumns": ...

    def __getitem__(self, at: int | slice) -> "Entry | EntryColumns":
        if isinstance(at, slice):
            sources = None if self.sources is None else self.sources[at]
            return EntryColumns(self.keys[at], self.told[at], is_plain=self.is_plain, sources=sources)
        told, source = self.told[at], UNKNOWN_SOURCE if self.sources is None else self.sources[at]
        return told._replace(source=source) if isinstance(told, Entry) else Entry(self.keys[at], told, source=source)

    def gone(self) -> list[Entry]:
        """Those that are gone."""
        return [self[at] for at, one in enumerate(self.told) if isinstance(one, Entry) and one.is_gone]

    def overlaid(self, above: "EntryColumns") -> "EntryColumns":
        """The merge of two layers: the upper entry wins, its tombstones remove."""
        merged = dict(zip(self.keys, self.told, strict=True))
        below = len(merged)
        merged.update(zip(above.keys, above.told, strict=True))
        is_in_order = len(merged) == below
        is_plain = self.is_plain and above.is_plain
        if not is_plain:
            merged = {key: one for key, one in merged.items() if not (isinstance(one, Entry) and one.is_tombstone)}
        keys = list(merged) if is_in_order else sorted(merged)
        told = [merged[key] for key in keys]
        return EntryColumns(keys, told, is_plain=is_plain, sources=self._sources_overlaid(above, keys))

    def _sources_overlaid(self, above: "EntryColumns", keys: Sequence[RowKey]) -> Sequence[SourceHash] | None:
        if self.sources is None and above.sources is None:
            return None
        merged = dict(zip(self.keys, _filled(self), strict=False))
        merged.update(zip(above.keys, _filled(above), strict=False))
        return [merged[key] for key in keys]


def told_of(entry: Entry) -> Told:
    """What has to be told of an entry beside its key and the warehouse's hash."""
    _, delivered, dead, is_gone, written, _ = entry
    if delivered is None or dead is not None or is_gone or written is not None or is_old(delivered):
        return entry._replace(source=UNKNOWN_SOURCE) if entry.source else entry
    return delivered


def _key(entry: Entry) -> RowKey:
    return entry.key


def _first_key(plain: PlainEntries) -> RowKey:
    return plain.keys[0]


def _merged(these: Sequence[Item], others: Sequence[Item], places: Sequence[int]) -> list[Item]:
    """All of them: each of the others stands at its place, before what is there of these."""
    merged: list[Item] = []
    before = 0
    for other, at in zip(others, places, strict=True):
        merged += these[before:at]
        merged.append(other)
        before = at
    merged += these[before:]
    return merged


def _filled(columns: PlainEntries | EntryColumns) -> "Sequence[SourceHash] | repeat[SourceHash]":
    """The sources of columns, endless where none is known."""
    return repeat(UNKNOWN_SOURCE) if columns.sources is None else columns.sources
