"""Entries in columns: most of them are a key and the hash that was delivered, and never become an object."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from struct import unpack
from typing import NamedTuple, Self, TypeAlias, TypeVar, cast, overload

import orjson

from tailrace.core.packed_keys import unpacked_array
from tailrace.core.rows import UNKNOWN_SOURCE, RowHash, RowKey, SourceHash
from tailrace.core.snapshots import HASH_BYTES, Entry, is_old
from tailrace.core.written_keys import is_bare, joined_keys, keys_of

Item = TypeVar("Item")
Ordered = TypeVar("Ordered", str, list[str], RowKey)
Told: TypeAlias = RowHash | Entry
"""The hash of the version delivered, or the whole entry where there is more to say; but for what `sources` tell."""

_Hit: TypeAlias = tuple[int, int]
"""The place of an entry, and that of the one above which takes its place."""

_Move: TypeAlias = tuple[int, int, int, int]
"""From where to where entries go, and from where to where those above are that come there."""


class PlainEntries(NamedTuple):
    """Keys with the hashes delivered, in key order, and the warehouse's where they are known."""

    keys: Sequence[RowKey]
    hashes: Sequence[RowHash]
    sources: Sequence[SourceHash] | None = None


class EntryColumns(Sequence[Entry]):
    """Entries in key order, each key once: `keys`, and beside them what is `told` of each.

    `is_plain` where all are told by their hashes. `sources` is None where none is known. `packed_keys` are the keys as
    the page has them that they came from, all of them and no others. What a page has becomes objects where somebody
    asks for them.
    """

    __slots__ = ("_array", "_hashes", "_keys", "_told", "is_plain", "packed_keys", "sources")

    def __init__(
        self,
        keys: Sequence[RowKey],
        told: Sequence[Told],
        *,
        is_plain: bool,
        sources: Sequence[SourceHash] | None = None,
        packed_keys: bytes | None = None,
    ) -> None:
        self._keys: Sequence[RowKey] | None = keys
        self._told: Sequence[Told] | None = told
        self._array: bytes | None = None
        self._hashes = b""
        self.is_plain = is_plain
        self.sources = sources
        self.packed_keys = packed_keys

    @classmethod
    def packed(cls, keys: bytes | None, hashes: bytes, *, array: bytes | None = None) -> Self:
        """Plain entries as a page has them: keys, packed or as an `array` in JSON, and hashes, one behind another."""
        columns = cls([], [], is_plain=True, packed_keys=keys)
        columns._keys = columns._told = None
        columns._array, columns._hashes = array, hashes
        return columns

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> Self:
        """Entries that are in key order."""
        if isinstance(entries, cls):
            return entries
        return cls._of_rows([(entry.key, told_of(entry), entry.source) for entry in entries])

    @property
    def keys(self) -> Sequence[RowKey]:
        """The key of each entry."""
        if self._keys is None:
            self._keys = keys_of(self.array or b"[]")
        return self._keys

    @property
    def last_key(self) -> RowKey:
        """The key of the last entry; there is one."""
        array = self.array if self._keys is None else None
        if array is None or not is_bare(array):
            return self.keys[-1]
        return RowKey((array[array.rindex(b'"', 0, -2) + 1 : -2].decode(),))

    @property
    def array(self) -> bytes | None:
        """The keys as an array in JSON; None where nobody has one."""
        if self._array is None and self.packed_keys is not None:
            self._array = unpacked_array(self.packed_keys)
        return self._array

    @property
    def told(self) -> Sequence[Told]:
        """What is told of each."""
        if self._told is None:
            self._told = cast("list[Told]", list(unpack(f"{HASH_BYTES}s" * len(self), self._hashes)))
        return self._told

    def told_at(self, place: int) -> Told:
        """What is told of one of them."""
        if self._told is not None:
            return self._told[place]
        return RowHash(self._hashes[place * HASH_BYTES : (place + 1) * HASH_BYTES])

    @property
    def hashes(self) -> bytes:
        """The hashes of entries that are plain, one behind another."""
        return self._hashes if self._told is None else b"".join(cast("Sequence[RowHash]", self._told))

    @classmethod
    def gathered(cls, plain: Sequence[PlainEntries], odd: Sequence[Entry]) -> Self:
        """Plain entries in stretches, each key once, and among them others."""
        if not plain:
            return cls.of(sorted(odd, key=_key))
        plain = sorted(plain, key=_first_key)
        if any(one.keys[-1] > other.keys[0] for one, other in pairwise(plain)):
            plain = [_in_order(plain)]
        keys = joined_keys([some.keys for some in plain])
        told: list[Told] = list(chain.from_iterable(some.hashes for some in plain))
        sources: list[SourceHash] | None = None
        if not all(some.sources is None for some in plain):
            sources = list(chain.from_iterable(map(_all_sources, plain)))
        columns = cls(keys, told, is_plain=True, sources=sources)
        return columns._with(sorted(odd, key=_key)) if odd else columns

    @classmethod
    def joined(cls, some: Sequence["EntryColumns"]) -> Self:
        """Entries of which each column stands behind the one before."""
        sources: list[SourceHash] | None = None
        if not all(columns.sources is None for columns in some):
            sources = list(chain.from_iterable(map(_all_sources, some)))
        keys = list(chain.from_iterable(columns.keys for columns in some))
        told = list(chain.from_iterable(columns.told for columns in some))
        return cls(keys, told, is_plain=all(columns.is_plain for columns in some), sources=sources)

    def _with(self, odd: Sequence[Entry]) -> Self:
        """With further entries, in key order, of other keys."""
        keys = list(self.keys)
        places = enumerate(bisect_right(keys, entry.key) for entry in odd)
        moves = [(at, at, nth, nth + 1) for nth, at in places]
        told = [told_of(entry) for entry in odd]
        sources: Sequence[SourceHash] | None = None
        if self.sources is not None or any(entry.source for entry in odd):
            sources = _moved(_all_sources(self), [entry.source for entry in odd], moves)
        return type(self)(
            _moved(keys, [entry.key for entry in odd], moves),
            _moved(self.told, told, moves),
            is_plain=self.is_plain and _are_plain(told),
            sources=sources,
        )

    @classmethod
    def _of_rows(cls, rows: "Sequence[tuple[RowKey, Told, SourceHash]]") -> Self:
        keys = [key for key, _, _ in rows]
        told = [one for _, one, _ in rows]
        sources = [source for _, _, source in rows]
        return cls(keys, told, is_plain=_are_plain(told), sources=sources if any(sources) else None)

    def __len__(self) -> int:
        return len(self._hashes) // HASH_BYTES if self._keys is None else len(self._keys)

    @overload
    def __getitem__(self, at: int) -> Entry: ...

    @overload
    def __getitem__(self, at: slice) -> "EntryColumns": ...

    def __getitem__(self, at: int | slice) -> "Entry | EntryColumns":
        if isinstance(at, slice):
            sources = None if self.sources is None else self.sources[at]
            return EntryColumns(self.keys[at], self.told[at], is_plain=self.is_plain, sources=sources)
        place = range(len(self))[at]
        return self.entry_at(place, self.keys[place])

    def entry_at(self, place: int, key: RowKey) -> Entry:
        """One of them, for who has its key."""
        told, source = self.told_at(place), UNKNOWN_SOURCE if self.sources is None else self.sources[place]
        return told._replace(source=source) if isinstance(told, Entry) else Entry(key, told, source=source)

    def gone(self) -> list[Entry]:
        """Those that are gone."""
        return [self[at] for at, one in enumerate(self.told) if isinstance(one, Entry) and one.is_gone]

    def overlaid(self, above: "EntryColumns") -> "EntryColumns":
        """The merge of two layers: the upper entry wins, its tombstones remove. Cheap where the upper one is small."""
        if (laid := self._patched(above)) is not None:
            return laid
        below = self.without_tombstones()
        if not below.keys:
            return above.without_tombstones()
        return _put_together(below, above, *_places(below.keys, above, forgets=True))

    def _patched(self, above: "EntryColumns") -> "EntryColumns | None":
        """The same where nothing of a page has become an object yet, and nothing has to; None where that is not so."""
        if self._keys is not None or not self._hashes:
            return None
        texts, hashes = orjson.loads(self.array or b"[]"), bytearray(self._hashes)
        has_sources = self.sources is not None or above.sources is not None
        sources = list(self.sources or [UNKNOWN_SOURCE] * len(self)) if has_sources else []
        moves, at, has_parts = 0, 0, not isinstance(texts[0], str)
        for (key, *others), one, source in zip(above.keys, above.told, _all_sources(above), strict=True):
            if others or has_parts or (isinstance(one, Entry) and not one.is_tombstone):
                return None
            at = bisect_left(texts, key, at)
            is_known = at < len(texts) and texts[at] == key
            if isinstance(one, Entry):
                texts[at : at + is_known] = ()
            elif not is_known:
                texts.insert(at, key)
            hashes[at * HASH_BYTES : (at + is_known) * HASH_BYTES] = b"" if isinstance(one, Entry) else one
            if has_sources:
                sources[at : at + is_known] = () if isinstance(one, Entry) else (source,)
            moves += isinstance(one, Entry) == is_known
        packed = None if moves else self.packed_keys
        laid = EntryColumns.packed(packed, bytes(hashes), array=orjson.dumps(texts) if moves else self.array)
        laid.sources = sources if any(sources) else None
        return laid

    def stacked(self, above: "EntryColumns") -> "EntryColumns":
        """Two layers that both lie above a third, as one: the upper entry wins, and tombstones stay to remove."""
        return _put_together(self, above, *_places(self.keys, above, forgets=False)) if self.keys else above

    def looked_up(self, keys: Sequence[RowKey]) -> list[Told | None]:
        """What is told of some keys, which are in order; None where nothing is."""
        return [None if at is None else self.told[at] for at in places_of(keys, self.keys)]

    def without_tombstones(self) -> "EntryColumns":
        """All that are not forgotten."""
        told = () if self.is_plain else self.told
        moves = [(at, at + 1, 0, 0) for at, one in enumerate(told) if isinstance(one, Entry) and one.is_tombstone]
        if not moves:
            return self
        told = _moved(self.told, (), moves)
        sources = None if self.sources is None else _moved(self.sources, (), moves)
        return EntryColumns(_moved(self.keys, (), moves), told, is_plain=_are_plain(told), sources=sources)


def told_of(entry: Entry) -> Told:
    """What has to be told of an entry beside its key and the warehouse's hash."""
    _, delivered, dead, is_gone, written, _ = entry
    if delivered is None or dead is not None or is_gone or written is not None or is_old(delivered):
        return entry._replace(source=UNKNOWN_SOURCE) if entry.source else entry
    return delivered


def places_of(wanted: Sequence[Ordered], keys: Sequence[Ordered]) -> Iterator[int | None]:
    """Where each of some keys stands among others, None where it does not; both are in order."""
    at, end = 0, len(keys)
    for key in wanted:
        at = bisect_left(keys, key, at)
        yield at if at < end and keys[at] == key else None


def _key(entry: Entry) -> RowKey:
    return entry.key


def _first_key(plain: PlainEntries) -> RowKey:
    return plain.keys[0]


def _in_order(plain: Sequence[PlainEntries]) -> PlainEntries:
    """Stretches of which some begin among the keys of others, as one."""
    columns = (zip(some.keys, some.hashes, _all_sources(some), strict=True) for some in plain)
    keys, hashes, sources = zip(*sorted(chain.from_iterable(columns)), strict=True)
    return PlainEntries(keys, hashes, sources if any(sources) else None)


def _are_plain(told: Sequence[Told]) -> bool:
    return Entry not in set(map(type, told))


def _put_together(
    below: EntryColumns, above: EntryColumns, hits: Sequence[_Hit], moves: Sequence[_Move]
) -> EntryColumns:
    told = _laid(below.told, above.told, hits, moves)
    sources: Sequence[SourceHash] | None = None
    if below.sources is not None or above.sources is not None:
        sources = _laid(_all_sources(below), _all_sources(above), hits, moves)
    return EntryColumns(
        _moved(below.keys, above.keys, moves) if moves else below.keys,
        told,
        is_plain=(below.is_plain and above.is_plain) or _are_plain(told),
        sources=sources,
        packed_keys=None if moves else below.packed_keys,
    )


def _places(keys: Sequence[RowKey], above: EntryColumns, *, forgets: bool) -> tuple[Sequence[_Hit], Sequence[_Move]]:
    """What takes the place of one of the keys, and where entries come, and go if tombstones are to remove them."""
    hits: list[_Hit] = []
    moves: list[_Move] = []
    at, end = 0, len(keys)
    for nth, (key, one) in enumerate(zip(above.keys, above.told, strict=True)):
        at = at if at < end and keys[at] == key else bisect_left(keys, key, at)
        is_known = at < end and keys[at] == key
        if forgets and isinstance(one, Entry) and one.is_tombstone:
            moves += [(at, at + 1, nth, nth)] if is_known else ()
        elif is_known:
            hits.append((at, nth))
        else:
            moves.append((at, at, nth, nth + 1))
        at += is_known
    return hits, moves


def _laid(
    these: Sequence[Item], others: Sequence[Item], hits: Sequence[_Hit], moves: Sequence[_Move]
) -> Sequence[Item]:
    """These, with what takes their places of the others, comes and goes."""
    laid = list(these)
    for at, nth in hits:
        laid[at] = others[nth]
    return _moved(laid, others, moves) if moves else laid


def _moved(these: Sequence[Item], others: Sequence[Item], moves: Sequence[_Move]) -> list[Item]:
    """These, with stretches of the others in place of stretches of them."""
    moved: list[Item] = []
    before = 0
    for at, end, first, last in moves:
        moved += these[before:at]
        moved += others[first:last]
        before = end
    moved += these[before:]
    return moved


def _all_sources(columns: PlainEntries | EntryColumns) -> Sequence[SourceHash]:
    """The sources of all, also where none is known."""
    return [UNKNOWN_SOURCE] * len(columns.keys) if columns.sources is None else columns.sources
