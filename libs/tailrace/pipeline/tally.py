"""What became of rows, added up until a checkpoint writes it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from tailrace.core.rows import Change, Operation, Row, RowOutcome, Verdict, fit_code
from tailrace.core.runs import Books
from tailrace.core.settlements import DedupeKey, NewDeadLetter, Position, Settlement, dedupe_key
from tailrace.core.snapshots import Entry
from tailrace.pipeline.diff import RowChange
from tailrace.pipeline.map_fields import KEY_TOO_LONG, MappedRow

STILL_DEAD = "STILL_DEAD"
UNCHANGED = "UNCHANGED"
NOT_IN_MODE = "NOT_IN_MODE"


@dataclass(slots=True)
class Tally:
    """Counters, letters and snapshot entries of rows that are done with."""

    operation: Operation
    key_fields: tuple[str, ...]
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    letters: list[NewDeadLetter] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    cleared: list[DedupeKey] = field(default_factory=list)

    def add_outcome(self, change: RowChange, mapped: MappedRow, outcome: RowOutcome) -> None:
        """A row that was sent, with the outcome that stands."""
        if change.change is not None:
            self.reasons[f"change.{change.change}"] += 1
        if outcome.verdict is Verdict.REJECTED:
            self.add_rejected(change, mapped, outcome)
            return
        if outcome.verdict is Verdict.DELIVERED:
            self._count("delivered")
        else:
            self._count("skipped", fit_code(outcome.code))
        self.entries.append(Entry(mapped.row.key, delivered=mapped.row.row_hash))
        self._clear(change)

    def add_rejected(self, change: RowChange, mapped: MappedRow, outcome: RowOutcome) -> None:
        """A row that became a dead letter; it stays out of later runs while neither it nor the letter changes."""
        code = fit_code(outcome.code)
        self._count("rejected", code)
        row = mapped.row
        letter = NewDeadLetter(
            dedupe_key=mapped.dedupe_key or dedupe_key(row.key),
            row_key=row.key or None,
            operation=self.operation,
            error_code=code,
            message=outcome.message,
            record_keys=_record_keys(row, self.key_fields),
            payload=row.body,
            row_hash=row.row_hash,
        )
        self.letters.append(letter)
        if row.key and letter.dedupe_key == dedupe_key(row.key) and outcome.code != KEY_TOO_LONG:
            delivered = None if change.known is None else change.known.delivered
            self.entries.append(Entry(row.key, delivered, row.row_hash))

    def add_skipped(self, change: RowChange, code: str) -> None:
        """A row of the query that nothing is sent for."""
        self._count("skipped", code)
        if code == UNCHANGED and change.known is not None and change.known.dead is not None:
            self.entries.append(Entry(change.known.key, change.known.delivered))
            self._clear(change)

    def add_kept(self, change: RowChange, *, forget: bool) -> None:
        """A key that is gone from the query and stays at the destination."""
        self.counts["removed"] += 1
        self.counts["kept"] += 1
        self.reasons[f"change.{Change.REMOVED}"] += 1
        if forget and change.known is not None:
            self.entries.append(Entry(change.known.key))
            self._clear(change)

    def absorb(self, later: "Tally") -> None:
        """Add what became of the rows that follow."""
        self.counts += later.counts
        self.reasons += later.reasons
        self.letters += later.letters
        self.entries += later.entries
        self.cleared += later.cleared

    def settlement(self, position: Position) -> Settlement:
        """All of it, as one checkpoint writes it."""
        return Settlement(
            position=position,
            books=Books(**self.counts, reasons=dict(self.reasons)),
            letters=self.letters,
            entries=sorted(self.entries, key=lambda entry: entry.key),
            cleared=self.cleared,
        )

    def _count(self, outcome: str, code: str = "") -> None:
        self.counts["read"] += 1
        self.counts[outcome] += 1
        if code:
            self.reasons[f"{outcome}.{code}"] += 1

    def _clear(self, change: RowChange) -> None:
        if change.known is not None and change.known.dead is not None:
            self.cleared.append(dedupe_key(change.known.key))


def _record_keys(row: Row, key_fields: Sequence[str]) -> dict[str, object]:
    """The key as it is sent; as the warehouse writes it where a reader of JSON would lose digits, or fail."""
    try:
        values = orjson.loads(row.body)
    except orjson.JSONDecodeError:
        values = {}
    # A row without a whole key has no text; what is NULL in it, or cannot be read, shows as null.
    texts = row.key or (None,) * len(key_fields)
    sent = ((name, values.get(name), text) for name, text in zip(key_fields, texts, strict=True))
    return {
        name: text if value is None or isinstance(value, (float, dict, list)) else value for name, value, text in sent
    }
