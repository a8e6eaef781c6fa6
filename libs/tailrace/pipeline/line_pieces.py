"""Lines of hash and key compared with a page of what is known, in compiled code, and what they come to."""

from array import array
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from tailrace.connector_kit.compiled import CopyCells, Found, Known, Sifted
from tailrace.connector_kit.copy_text import key_of_line
from tailrace.core.entry_columns import EntryColumns
from tailrace.core.row_columns import NO_ROWS
from tailrace.core.rows import UNKNOWN_SOURCE, Change, RowHash, RowKey
from tailrace.core.snapshots import HASH_BYTES, Entry
from tailrace.core.written_keys import array_of, is_bare
from tailrace.pipeline.diff import added, seen
from tailrace.pipeline.plain import MappedRow, PlainChanges, PlainRows, RowChange
from tailrace.pipeline.stretches import Stretches, end_of_line


class Piece(NamedTuple):
    """The lines of a text that were compared with a page, from one that begins at `start` on.

    `lines` are those that are not as they are known. Behind all that is known, the page is an empty one.
    """

    page: EntryColumns
    start: int
    sifted: Sifted
    lines: Sequence[Found]

    @classmethod
    def of(cls, page: EntryColumns, at: int, text: bytes, start: int, copy_cells: CopyCells) -> "Piece | None":
        """As far as the text, or the page from a place on, goes; None where something is odd before that."""
        keys = page.array or array_of(page.keys)
        if not is_bare(keys):
            return None
        known_start = 1 + sum(len(key.encode()) + 3 for (key,) in page.keys[:at]) if at else 1
        sifted = copy_cells.sift_hashes(text, start, Known(keys, _sources(page), known_start, at))
        if sifted.start < len(text) and sifted.place < len(page):
            return None
        return cls(page, start, sifted, [found for found in sifted.found if found.key is None])

    @classmethod
    def of_new(cls, text: bytes, start: int) -> "Piece":
        """Lines behind all that is known."""
        lines: list[Found] = []
        first = start
        while start < len(text):
            lines.append(Found(len(lines), start, -1, None))
            start = end_of_line(text, start) + 1
        return cls(EntryColumns.of([]), first, Sifted(len(lines), len(text), 0, 0, lines), lines)

    def keys(self, text: bytes) -> list[RowKey]:
        """The keys of `lines`."""
        return [key_of_line(text, each.start, end_of_line(text, each.start)) for each in self.lines]

    def changes(self, text: bytes, rows: Sequence[MappedRow]) -> Sequence[Sequence[RowChange]]:
        """What happened, where these are the rows of `lines`."""
        told = list(self._stretches(text, rows))
        # Letters are asked for by stretches: where several rows have some, it is one for all.
        return [list(chain.from_iterable(told))] if self._letters > 1 else told

    def _stretches(self, text: bytes, rows: Sequence[MappedRow]) -> Iterator[Sequence[RowChange]]:
        columns = rows.columns if isinstance(rows, PlainRows) else NO_ROWS
        stretches, nth = Stretches(text, columns, self.start), 0
        for line, start, place, key in self.sifted.found:
            delivered = self._delivered(place) if key is None and isinstance(rows, PlainRows) else None
            if delivered is None:
                yield from stretches.before(line, start)
            if key is not None:
                yield [RowChange(Change.REMOVED, known=self.page.entry_at(place, RowKey((key,))))]
                continue
            if delivered is None:
                yield self._alone(rows, nth, place)
                stretches.leave_out()
            elif delivered == columns.hashes[nth]:
                stretches.learn(line, nth)
            else:
                stretches.change(line, nth, delivered)
            nth += 1
        yield from stretches.before(self.sifted.rows, self.sifted.start)

    @property
    def _letters(self) -> int:
        if self.page.is_plain:
            return 0
        told = [self.page.told[each.place] for each in self.lines if each.place >= 0]
        return sum(isinstance(one, Entry) and one.dead is not None for one in told)

    def _alone(self, rows: Sequence[MappedRow], nth: int, place: int) -> Sequence[RowChange]:
        if place >= 0:
            return [seen(rows[nth], self.page.entry_at(place, rows[nth].place))]
        return (
            PlainChanges(Change.ADDED, rows.columns[nth : nth + 1])
            if isinstance(rows, PlainRows)
            else [added(rows[nth])]
        )

    def _delivered(self, place: int) -> RowHash | None:
        """What was delivered, where there is nothing else to say."""
        told = None if place < 0 else self.page.told_at(place)
        return None if isinstance(told, Entry) else told


def _sources(page: EntryColumns) -> bytes:
    """The hashes that are known, 8 bytes each; 0 of what has to be looked at whatever its hash is."""
    if page.sources is None:
        return bytes(HASH_BYTES * len(page))
    known = array("q", page.sources)
    for at, told in enumerate(() if page.is_plain else page.told):
        if isinstance(told, Entry) and (told.delivered is None or told.dead is not None or told.is_gone):
            known[at] = UNKNOWN_SOURCE
    return known.tobytes()
