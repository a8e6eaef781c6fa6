"""Entries in columns: most of them are a key and the hash that was delivered, and never become an object."""

from collections.abc import Sequence
from operator import itemgetter
from typing import Self, TypeAlias, overload

from tailrace.core.rows import RowHash, RowKey
from tailrace.core.snapshots import Entry, is_old

Told: TypeAlias = RowHash | Entry
"""The hash of the version delivered, or the whole entry where there is more to say."""


class EntryColumns(Sequence[Entry]):
    """Entries in key order, each key once: `keys`, and beside them what is `told` of each.

    `is_plain` where all are told by their hashes.
    """

    __slots__ = ("is_plain", "keys", "told")

    def __init__(self, keys: Sequence[RowKey], told: Sequence[Told], *, is_plain: bool) -> None:
        self.keys = keys
        self.told = told
        self.is_plain = is_plain

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> Self:
        """Entries that are in key order."""
        if isinstance(entries, cls):
            return entries
        told = [told_of(entry) for entry in entries]
        return cls([entry.key for entry in entries], told, is_plain=not any(isinstance(one, Entry) for one in told))

    @classmethod
    def gathered(cls, plain: Sequence[tuple[Sequence[RowKey], Sequence[RowHash]]], odd: Sequence[Entry]) -> Self:
        """Keys with the hashes delivered, in stretches that come in key order, and among them other entries."""
        keys = [key for some, _ in plain for key in some]
        told: list[Told] = [one for _, some in plain for one in some]
        if not odd:
            return cls(keys, told, is_plain=True)
        more = [(entry.key, told_of(entry)) for entry in odd]
        pairs = sorted([*zip(keys, told, strict=True), *more], key=itemgetter(0))
        is_plain = not any(isinstance(one, Entry) for _, one in more)
        return cls([key for key, _ in pairs], [one for _, one in pairs], is_plain=is_plain)

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, at: int) -> Entry: ...

    @overload
    def __getitem__(self, at: slice) -> "EntryColumns": ...

    def __getitem__(self, at: int | slice) -> "Entry | EntryColumns":
        if isinstance(at, slice):
            return EntryColumns(self.keys[at], self.told[at], is_plain=self.is_plain)
        told = self.told[at]
        return told if isinstance(told, Entry) else Entry(self.keys[at], told)

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
        return EntryColumns(keys, [merged[key] for key in keys], is_plain=is_plain)


def told_of(entry: Entry) -> Told:
    """What has to be told of an entry beside its key."""
    _, delivered, dead, is_gone, written = entry
    if delivered is None or dead is not None or is_gone or written is not None or is_old(delivered):
        return entry
    return delivered
