"""Keys of one part as pages keep them, an array in JSON: a key is cut out of it where somebody asks for it."""

from abc import ABC, abstractmethod
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain
from typing import cast, overload

import orjson

from tailrace.core.rows import RowKey

_BETWEEN = 3
"""What stands between two keys: a quotation mark, a comma and another."""

_FIRST = 2
"""Where the first key begins."""

_FEW = 8
"""So many keys are no more work by themselves."""

_MOST = 4
"""So many times as much as keys take, the array may hold that they are of."""


class _Keys(ABC, Sequence[RowKey]):
    """Equal to any other sequence of the same keys, and pickled as a list of them."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]  # as that of a list

    @property
    @abstractmethod
    def inner(self) -> bytes:
        """The array without its brackets."""

    @overload
    def __getitem__(self, at: int) -> RowKey: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[RowKey]: ...

    def __getitem__(self, at: int | slice) -> RowKey | Sequence[RowKey]:
        if isinstance(at, int):
            return self._one(range(len(self))[at])
        first, end, step = at.indices(len(self))
        return self._some(first, max(first, end)) if step == 1 else list(self)[at]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def __reduce__(self) -> tuple[type[list[RowKey]], tuple[list[RowKey]]]:
        return list, (list(self),)

    @abstractmethod
    def _one(self, place: int) -> RowKey: ...

    @abstractmethod
    def _some(self, first: int, end: int) -> Sequence[RowKey]: ...


class WrittenKeys(_Keys):
    """Keys of which none is too long, or that before it, or has an escape; in the array each begins at its start."""

    __slots__ = ("_array", "_ends_at", "_starts")

    def __init__(self, text: bytes, starts: "memoryview[int]", ends_at: int | None = None) -> None:
        """With `ends_at`, they end before the key that begins there."""
        self._array = text
        self._starts = starts
        self._ends_at = len(text) - _FIRST + _BETWEEN if ends_at is None else ends_at

    @property
    def inner(self) -> bytes:
        """The array without its brackets."""
        return self._array[self._starts[0] - 1 : self._ends_at - _BETWEEN + 1] if self._starts else b""

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[RowKey]:
        return cast("Iterator[RowKey]", zip(orjson.loads(b"[%b]" % self.inner), strict=True))

    def between(self, first: int, end: int) -> "WrittenKeys":
        """Those from one place to another, of the same array."""
        return WrittenKeys(self._array, self._starts[first:end], self._begin(end))

    def _one(self, place: int) -> RowKey:
        return RowKey((self._array[self._starts[place] : self._begin(place + 1) - _BETWEEN].decode(),))

    def _some(self, first: int, end: int) -> Sequence[RowKey]:
        """Keys with an array of their own where most of this one is of others; a few as they are."""
        if end - first <= _FEW:
            return list(map(self._one, range(first, end)))
        some = self.between(first, end)
        inner = some.inner
        if len(inner) * _MOST >= len(self._array):
            return some
        starts = array("I", [start - self._starts[first] + _FIRST for start in self._starts[first:end]])
        return WrittenKeys(b"[%b]" % inner, memoryview(starts))

    def _begin(self, place: int) -> int:
        return self._starts[place] if place < len(self._starts) else self._ends_at


class JoinedKeys(_Keys):
    """Keys one behind another, in pieces of which none is empty."""

    __slots__ = ("_ends", "_pieces")

    def __init__(self, pieces: Sequence[WrittenKeys]) -> None:
        self._pieces = pieces
        self._ends = list(accumulate(map(len, pieces)))

    @property
    def inner(self) -> bytes:
        """The array without its brackets."""
        return b",".join([piece.inner for piece in self._pieces])

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[RowKey]:
        return chain.from_iterable(self._pieces)

    def _one(self, place: int) -> RowKey:
        nth = bisect_right(self._ends, place)
        return self._pieces[nth][place - self._begin(nth)]

    def _some(self, first: int, end: int) -> Sequence[RowKey]:
        pieces: list[WrittenKeys] = []
        for nth in range(bisect_right(self._ends, first), len(self._pieces)):
            begin = self._begin(nth)
            if begin >= end:
                break
            piece = self._pieces[nth]
            pieces.append(piece.between(max(0, first - begin), min(len(piece), end - begin)))
        return JoinedKeys(pieces)

    def _begin(self, nth: int) -> int:
        return self._ends[nth - 1] if nth else 0


def joined_keys(pieces: Sequence[Sequence[RowKey]]) -> Sequence[RowKey]:
    """Keys one behind another, written if all of them are."""
    written = [piece for piece in pieces if isinstance(piece, WrittenKeys) and len(piece)]
    return JoinedKeys(written) if written and len(written) == len(pieces) else list(chain.from_iterable(pieces))


def array_of(keys: Sequence[RowKey]) -> bytes:
    """Keys as an array in JSON, of texts where a key is one."""
    if isinstance(keys, WrittenKeys | JoinedKeys):
        return b"[%b]" % keys.inner
    parts = list(chain.from_iterable(keys))
    return orjson.dumps(parts if len(parts) == len(keys) else keys)


def is_bare(array: bytes) -> bool:
    """Whether the keys of an array are one text each, and none has an escape."""
    return array.startswith(b'["') and b"\\" not in array


def keys_of(array: bytes) -> list[RowKey]:
    """The keys of an array."""
    read: Sequence[str] | Sequence[Sequence[str]] = orjson.loads(array)
    made = zip(read, strict=True) if read and isinstance(read[0], str) else map(tuple, read)
    return cast("list[RowKey]", list(made))
