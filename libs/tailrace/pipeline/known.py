"""What is known of rows, on its way to be compared with them."""

from collections import deque
from collections.abc import AsyncIterator, Sequence

from tailrace.core.entry_columns import EntryColumns
from tailrace.core.rows import RowKey
from tailrace.core.snapshots import Entry


class Known:
    """The entries of a snapshot on their way to be compared, with a look ahead at those of some keys."""

    def __init__(self, snapshot: AsyncIterator[Sequence[Entry]]) -> None:
        self._snapshot = snapshot
        self._ahead: deque[EntryColumns] = deque()
        self._watched: list[EntryColumns] = []
        self._is_watching = True

    async def pages(self) -> AsyncIterator[EntryColumns]:
        """All entries, each once."""
        while self._ahead or await self._turn():
            yield self._ahead.popleft()

    async def first(self) -> EntryColumns:
        """The first page of them, which stays to come; empty where nothing is known."""
        return self._ahead[0] if self._ahead or await self._turn() else EntryColumns.of([])

    async def up_to(self, key: RowKey) -> Sequence[EntryColumns]:
        """The pages that may hold keys up to this one; each call asks for higher keys than those before."""
        while (not self._watched or self._watched[-1].last_key < key) and await self._turn():
            pass
        found = self._watched
        self._watched = [page for page in found if page.last_key > key]
        return found

    def stop_watching(self) -> None:
        """Nobody will look ahead any more."""
        self._is_watching, self._watched = False, []

    async def _turn(self) -> bool:
        async for some in self._snapshot:
            if some:
                page = EntryColumns.of(some)
                self._ahead.append(page)
                if self._is_watching:
                    self._watched.append(page)
                return True
        return False
