"""What runs of a sync compare with, where it is kept in a table of a warehouse and not in pages of our store.

Our store alone says that the table counts, and who may write: the holder of the last fence, a number that only grows.
Whoever comes with an older one changes nothing, however late it comes.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from tailrace.core.errors import SourceInvalid
from tailrace.core.rows import RowKey
from tailrace.core.snapshots import Entry

TABLE_LOST = "SNAPSHOT_TABLE_LOST"
"""The table is not there, or is not as it was left: it must not be taken for one that knows nothing."""


class TableState(NamedTuple):
    """By which fence a table was taken last, how often it was written, and how many entries it has by that account."""

    fence: int
    writes: int
    entries: int


class SnapshotTable(Protocol):
    """The table of one sync. A call that broke may be repeated; keys are ordered by code point, part by part.

    Every method raises SourceInvalid with `SNAPSHOT_TABLE_LOST` where the table is not there or is another,
    SourceInvalid where the role may not do it, and SourceUnavailable where the warehouse does not answer.
    """

    async def make(self, fence: int) -> bool:
        """Have an empty table in place of what is there; False where a later fence was here."""
        ...

    async def take(self, fence: int) -> bool:
        """Let nobody write by an earlier fence from now on; False where this one is none of the latest."""
        ...

    async def check(self) -> TableState:
        """How the table stands.

        :raises SourceInvalid: `SNAPSHOT_TABLE_LOST` too where its rows are not as many as were written.
        """
        ...

    async def write(self, fence: int, entries: Sequence[Entry]) -> TableState | None:
        """Put entries in place of those of the same keys; a tombstone removes one. None: the fence is not ours."""
        ...

    async def forget(self, fence: int, *, before: str | None = None) -> TableState | None:
        """Remove all entries, or those whose key begins with less than a text. None: the fence is not ours."""
        ...

    async def entries(self, *, after: RowKey | None, until: RowKey | None, gone: bool, most: int) -> Sequence[Entry]:
        """The first entries behind a key and up to another, so many at most, in key order; with `gone` such alone."""
        ...

    async def entries_of(self, keys: Sequence[RowKey]) -> Sequence[Entry]:
        """The entries of some keys, in key order."""
        ...

    async def census(self) -> tuple[int, int]:
        """How many entries were delivered, and how many are gone."""
        ...

    async def cuts(self, parts: int) -> Sequence[RowKey]:
        """The keys that end all parts but the last, of about as many entries each."""
        ...

    async def drop(self) -> None:
        """Remove the table, if it is there."""
        ...


def table_lost(what: str) -> SourceInvalid:
    """The table cannot be trusted, and what to do about it."""
    return SourceInvalid(
        f"the table of the warehouse that holds what is known of this sync's rows is not as it was left: {what}."
        " Restore it as it was; or import an export that no run came after; or begin anew, which sends every row again"
        " and deletes none that left meanwhile: tailrace snapshots move SYNC --to store --forget",
        code=TABLE_LOST,
    )
