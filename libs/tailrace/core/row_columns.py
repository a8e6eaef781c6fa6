"""Rows in columns: a row becomes an object only where somebody asks for it."""

from collections.abc import Collection, Sequence
from itertools import chain, compress
from typing import Self, overload

from tailrace.core.rows import Row, RowHash, RowKey, SourceHash
from tailrace.core.written_keys import joined_keys


class RowColumns(Sequence[Row]):
    """Rows whose keys, bodies and hashes stand side by side, and the warehouse's hashes where they are to be kept."""

    __slots__ = ("_size_bytes", "bodies", "hashes", "keys", "sources")

    def __init__(
        self,
        keys: Sequence[RowKey],
        bodies: Sequence[bytes],
        hashes: Sequence[RowHash],
        sources: Sequence[SourceHash] | None = None,
    ) -> None:
        self.keys = keys
        self.bodies = bodies
        self.hashes = hashes
        self.sources = sources
        self._size_bytes: int | None = None

    @property
    def size_bytes(self) -> int:
        """What the bodies come to."""
        if self._size_bytes is None:
            self._size_bytes = sum(map(len, self.bodies))
        return self._size_bytes

    @classmethod
    def joined(cls, pieces: Sequence[Self]) -> Self:
        """One after another, for who does not ask for the warehouse's hashes."""
        if len(pieces) == 1:
            return pieces[0]
        return cls(
            joined_keys([piece.keys for piece in pieces]),
            list(chain.from_iterable(piece.bodies for piece in pieces)),
            list(chain.from_iterable(piece.hashes for piece in pieces)),
        )

    def only(self, places: Sequence[int]) -> Self:
        """The rows at these places."""
        return type(self)(
            [self.keys[at] for at in places],
            [self.bodies[at] for at in places],
            [self.hashes[at] for at in places],
            None if self.sources is None else [self.sources[at] for at in places],
        )

    def without(self, places: Collection[int]) -> Self:
        """All but the rows at these places."""
        kept = [True] * len(self)
        for at in places:
            kept[at] = False
        return type(self)(
            list(compress(self.keys, kept)),
            list(compress(self.bodies, kept)),
            list(compress(self.hashes, kept)),
            None if self.sources is None else list(compress(self.sources, kept)),
        )

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, at: int) -> Row: ...

    @overload
    def __getitem__(self, at: slice) -> Self: ...

    def __getitem__(self, at: int | slice) -> Row | Self:
        if isinstance(at, slice):
            sources = None if self.sources is None else self.sources[at]
            return type(self)(self.keys[at], self.bodies[at], self.hashes[at], sources)
        return Row(self.keys[at], self.bodies[at], self.hashes[at])


NO_ROWS = RowColumns([], [], [])
