"""What some warehouses can do besides: hash rows themselves, so that only those that changed have to be read."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from tailrace.connector_kit.warehouse import Reading
from tailrace.core.rows import Block, RowKey, SourceHash

HASHES_PER_BLOCK = 10_000
"""Rows of which keys and hashes are looked at together."""


_WORTH = 0.5
"""What finding changed rows may cost at most, as a part of reading all rows."""


@dataclass(frozen=True, slots=True)
class Hashing:
    """Of which columns a row's hash is made, and what goes into it besides: 64 bits, signed.

    A hash covers every byte of the texts of these columns, what is NULL, and which column holds what. With another
    seed all hashes are others. Of one column alone it is 0, which is never taken for known, where that is NULL.
    """

    columns: Sequence[str]
    seed: int


class KeyHashes(NamedTuple):
    """Keys and hashes of rows, in the order of a reading; a key is None where a part of it is NULL."""

    keys: Sequence[RowKey | None]
    hashes: Sequence[SourceHash]


class HashedRows(Protocol):
    """One consistent view of a query's rows, in the order that `Warehouse.read` gives them."""

    def hashes(self) -> AsyncIterator[KeyHashes]:
        """Keys and hashes of all rows behind the start of the reading; behind an empty block, rows are read whole."""
        ...

    def lines(self) -> AbstractAsyncContextManager[AsyncIterator[bytes]] | None:
        """The same in texts, for keys of one column; None where hashes do not come like that.

        A line is the hash, a tab and the key, as PostgreSQL's COPY writes them. No two texts have a key in common.
        While they are read all else may be asked for. Behind an empty one, rows are better read whole.
        """
        ...

    def rows_of(self, keys: Sequence[RowKey]) -> AsyncIterator[Block]:
        """All rows of some keys, whole and with their hashes, in the same view; also while `hashes` is read."""
        ...

    def rows(
        self, *, after: RowKey | None, with_hashes: bool, until: RowKey | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Block]]:
        """All rows behind a key, up to another if that is given, whole, in the same view.

        While they are read, nothing else is asked for; `hashes` are not gone on with after that, `lines` are.
        """
        ...

    async def finds_quickly(self, keys: Sequence[RowKey]) -> bool:
        """Whether to look for what changed is likely to be less work than to read all rows whole.

        The keys are a sample: so many rows are to be fetched for each block of hashes.
        """
        ...


@runtime_checkable
class HashesRows(Protocol):
    """Gives the hash of a row instead of the row."""

    async def row_hash(self, *, is_asked_for: bool = False) -> str | None:
        """The name of how it makes hashes, another one for each way; None where this server cannot, or is not to.

        Whether a server is to hash all rows is for its settings to say, unless a sync asks for it.
        """
        ...

    def compare(self, reading: Reading, hashing: Hashing) -> AbstractAsyncContextManager[HashedRows]:
        """A view of a reading in the order of its keys, for as long as the scope lasts.

        :raises SourceInvalid, SourceUnavailable: as `Warehouse.read`.
        """
        ...


def is_quicker(rows: float, *, finding: float, reading: float) -> bool:
    """Whether finding a hundredth of the rows that are looked at together, each time, beats reading all.

    Of so many rows; what each of both costs is an estimate of the server's.
    """
    times = rows / HASHES_PER_BLOCK
    return times <= 1 or times * finding <= _WORTH * reading
