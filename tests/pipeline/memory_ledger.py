"""What the store would keep of runs, in memory: the ledger of their checkpoints, and the snapshot that it comes to."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from tailrace.core.clock import SystemClock
from tailrace.core.errors import TailraceError
from tailrace.core.rows import RowKey
from tailrace.core.runs import Books
from tailrace.core.settlements import DedupeKey, KeptRow, NewDeadLetter, Position, Settlement
from tailrace.core.snapshots import Entry
from tailrace.core.watermarks import Watermark
from tailrace.pipeline.mirror import Census
from tailrace.pipeline.settle import Commit


@dataclass
class MemoryLedger:
    """What checkpoints have written: position, books, letters, snapshot."""

    position: Position = field(default_factory=Position)
    books: Books = field(default_factory=Books)
    letters: dict[DedupeKey, NewDeadLetter] = field(default_factory=dict)
    closed: set[DedupeKey] = field(default_factory=set)
    entries: dict[RowKey, Entry] = field(default_factory=dict)
    watermark: str | None = None
    settlements: list[Settlement] = field(default_factory=list)
    error: TailraceError | None = None
    times_asked: int = 0

    def prepare(self, settlement: Settlement) -> Commit:
        return partial(self.commit, settlement)

    async def commit(self, settlement: Settlement) -> None:
        if self.error is not None:
            raise self.error
        self.settlements.append(settlement)
        self.position = settlement.position
        self.books += settlement.books
        self.letters |= {letter.dedupe_key: letter for letter in settlement.letters}
        self.closed |= self.letters.keys() & set(settlement.cleared)
        self.letters = {name: letter for name, letter in self.letters.items() if name not in settlement.cleared}
        self.watermark = max(filter(None, (self.watermark, settlement.watermark)), default=None)
        self.entries |= {entry.key: entry for entry in settlement.entries}
        self.entries = {key: entry for key, entry in self.entries.items() if not entry.is_tombstone}

    async def still_dead(self, keys: Sequence[DedupeKey]) -> dict[DedupeKey, bool]:
        self.times_asked += 1
        return {key: key not in self.letters for key in keys if key in self.letters or key in self.closed}


@dataclass(frozen=True)
class FrozenSnapshot:
    """The snapshot as a run found it; what the ledger has learnt since is seen once it is merged, or gone."""

    known: list[Entry]
    ledger: MemoryLedger
    only: Sequence[RowKey] | None = None
    entries_per_page: int = 7

    async def entries(self, *, after: RowKey | None) -> AsyncIterator[list[Entry]]:
        wanted = [entry for entry in self.known if after is None or entry.key > after]
        for at in range(0, len(wanted), self.entries_per_page):
            yield wanted[at : at + self.entries_per_page]

    async def merge(self) -> None:
        self.known[:] = self._entries()

    async def census(self) -> Census:
        delivered = sum(entry.delivered is not None for entry in self.ledger.entries.values())
        return Census(delivered, len(self._gone()))

    async def gone(self, *, after: RowKey | None) -> AsyncIterator[list[Entry]]:
        yield [entry for entry in self._gone() if after is None or entry.key > after]

    async def all_entries(self) -> AsyncIterator[list[Entry]]:
        yield [*self.ledger.entries.values()]

    async def watermark(self) -> Watermark:
        return Watermark(self.ledger.watermark, SystemClock().now())

    async def begin_anew(self, *, forget_rows: bool) -> None:
        self.ledger.watermark = None
        if forget_rows:
            self.known.clear()
            self.ledger.entries.clear()

    async def forget_before(self, value: str) -> None:
        self.ledger.entries = {key: entry for key, entry in self.ledger.entries.items() if key >= (value,)}

    async def kept_rows(self) -> AsyncIterator[list[KeptRow]]:
        letters = [letter for letter in self.ledger.letters.values() if letter.row_key in (self.only or ())]
        yield [KeptRow(one.dedupe_key, one.row_key or RowKey(()), one.payload) for one in letters]

    def _gone(self) -> list[Entry]:
        return [entry for entry in self._entries() if entry.is_gone]

    def _entries(self) -> list[Entry]:
        entries = [entry for key, entry in self.ledger.entries.items() if self.only is None or key in self.only]
        return sorted(entries, key=lambda entry: entry.key)
