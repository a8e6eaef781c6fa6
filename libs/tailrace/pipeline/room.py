"""How much a parcel may still take in: rows to send by count and size, and rows that were only looked at."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, compress, count

from tailrace.core.row_columns import RowColumns
from tailrace.pipeline.plain import PlainChanges, PlainUpdates

_DECIDED_PER_PARCEL = 5000


@dataclass(slots=True)
class Room:
    """What a parcel has taken in so far: of its `rows` some are `sending`, and come to `size_bytes` with separators.

    How much is let in never depends on whether rows come one by one or together.
    """

    rows_per_batch: int
    bytes_per_batch: int
    rows: int = 0
    sending: int = 0
    size_bytes: int = 0

    @property
    def is_over(self) -> bool:
        """Whether no row is let in any more, whatever happened to it."""
        return self.sending >= self.rows_per_batch or self.to_decide <= 0

    @property
    def to_decide(self) -> int:
        """How many more rows that are not sent are let in."""
        return _DECIDED_PER_PARCEL + self.sending - self.rows

    def has_bytes_for(self, size_bytes: int) -> bool:
        """Whether a body of that size may be sent with the others; one always may."""
        return not self.sending or self.size_bytes + size_bytes <= self.bytes_per_batch

    def take(self, rows: int, *, sending: int = 0, size_bytes: int = 0) -> None:
        """Let rows in, of which some are sent with bodies of that size."""
        self.rows += rows
        self.sending += sending
        self.size_bytes += size_bytes + sending

    def to_send(self, columns: RowColumns, at: int) -> int:
        """How many rows from a place on would be let in to be sent, one after another, none of them too large."""
        if self.is_over:
            return 0
        most, room = self.bytes_per_batch, min(self.rows_per_batch - self.sending, len(columns) - at)
        if self.size_bytes + columns.size_bytes + room <= most:
            return room
        sizes = [*map(len, columns.bodies[at : at + room])]
        if self.size_bytes + sum(sizes) + room <= most:
            return room
        ends = accumulate(sizes, lambda end, body_bytes: end + 1 + body_bytes)
        return next(compress(count(), (self.size_bytes + end > most for end in ends)), room)

    def of_updates(self, updates: PlainUpdates, at: int, *, is_sent: bool) -> tuple[int, PlainChanges]:
        """As far as rows from a place on would be let in, and those of them that changed; nothing else is sent."""
        places, first = updates.places, bisect_left(updates.places, at)
        if not is_sent:
            end = min(len(updates), at + self.to_decide)
            return end, updates.changes(first, bisect_left(places, end))
        changed = updates.changes(first, first + self.rows_per_batch - self.sending)
        last = first + self.to_send(changed.columns, 0)
        end = places[last] if last < len(places) else len(updates)
        if self.sending + last - first == self.rows_per_batch:
            end = places[last - 1] + 1
        end = min(end, self._end_of_decided(places, at))
        return end, changed[: bisect_left(places, end, first) - first]

    def _end_of_decided(self, places: Sequence[int], at: int) -> int:
        """Where there is no more room for rows from a place on, of which those at `places` take none."""
        first = bisect_left(places, at)
        end, before = at + self.to_decide, at
        while end != before:
            end, before = at + self.to_decide + bisect_left(places, end, first) - first, end
        return end
