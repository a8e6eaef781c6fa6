"""What became of rows, added up until a checkpoint writes it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import orjson

from tailrace.core.entry_columns import EntryColumns, PlainEntries
from tailrace.core.row_columns import RowColumns
from tailrace.core.rows import (
    IN_DOUBT,
    Change,
    Operation,
    Row,
    RowHash,
    RowKey,
    RowOutcome,
    Verdict,
    fit_code,
    not_delivered,
)
from tailrace.core.runs import Books
from tailrace.core.settlements import (
    DedupeKey,
    NewDeadLetter,
    Position,
    Settlement,
    dedupe_key,
    dedupe_key_of_unplaced,
)
from tailrace.core.snapshots import UNKNOWN_VERSION, Entry, is_old, is_version
from tailrace.mapping.sent_keys import DUPLICATE_MAPPED_KEY
from tailrace.pipeline.map_fields import CODES_OF_QUERIES
from tailrace.pipeline.plain import MappedRow, PlainChanges, RowChange

STILL_DEAD = "STILL_DEAD"
SUPERSEDED = "SUPERSEDED"
UNCHANGED = "UNCHANGED"
NOT_IN_MODE = "NOT_IN_MODE"

_SHOWN_MOST = 1024
"""Characters of a key that are kept to be shown beside a letter; longer keys are no keys, and may be of any length."""

_BOOKED_AS = {"delivered": "deleted", "skipped": "kept", "rejected": "undeleted"}
"""What the books call the outcome of a row that left the query."""

_UNFAITHFUL = (float, dict, list)
"""What is not the same for every reader of JSON."""

_SAYING_MORE = (IN_DOUBT, DUPLICATE_MAPPED_KEY)
"""Codes of rejected rows that are not known as others are, see `_dead_entry`."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a tally has to know of the run.

    `remembers`: the snapshot keeps an entry of each row. `clears_all`: a row that was sent closes its letter, known to
    the snapshot or not; `clears_unplaced`, that of a row of its key without a cursor too. `moves_watermark`: as far as
    rows are settled, but not above `latest`.
    """

    operation: Operation
    key_fields: tuple[str, ...]
    remembers: bool = True
    clears_all: bool = False
    clears_unplaced: bool = False
    moves_watermark: bool = False
    latest: str | None = None


@dataclass(slots=True)
class Tally:
    """Counters, letters and snapshot entries of rows that are done with; `reached` is the cursor of the last one.

    `plain` are stretches of keys with the hashes delivered: what most entries are. `cleared` says how many letters
    there were when one was cleared: of several versions of a row the last decides.
    """

    terms: Terms
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    letters: list[NewDeadLetter] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    plain: list[PlainEntries] = field(default_factory=list)
    cleared: dict[DedupeKey, int] = field(default_factory=dict)
    reached: str | None = None

    def add_outcomes(self, sent: Sequence[Sequence[RowChange]], outcomes: Sequence[RowOutcome]) -> None:
        """The rows of a batch in stretches, with the outcomes that stand."""
        if len(outcomes) != sum(map(len, sent)):
            raise ValueError(f"{len(outcomes)} outcomes for {sum(map(len, sent))} rows")
        at = 0
        for stretch in sent:
            end = at + len(stretch)
            some, at = outcomes[at:end], end
            if isinstance(stretch, PlainChanges) and not self.terms.clears_all:
                self._add_plain(stretch, some)
            else:
                self._add_each(stretch, some)

    def add_plain_skipped(self, changes: PlainChanges, code: str) -> None:
        """Plain rows that nothing is sent for."""
        self.count_skipped(len(changes), code)
        if code == UNCHANGED and self.terms.remembers and changes.columns.sources is not None:
            self._remember(changes.columns)

    def count_skipped(self, rows: int, code: str) -> None:
        """So many rows that nothing is sent for, and of which nothing else is to be kept."""
        self.counts["read"] += rows
        self.counts["skipped"] += rows
        self.reasons[f"skipped.{code}"] += rows

    def learn(self, unchanged: RowColumns) -> None:
        """What the warehouse's hashes are of rows that did not change, and stand among others."""
        if unchanged and self.terms.remembers:
            self._remember(unchanged)

    def add_rejected(self, change: RowChange, mapped: MappedRow, outcome: RowOutcome) -> None:
        """A row that became a dead letter; it stays out of later runs while neither it nor the letter changes."""
        self._count(change, "rejected", fit_code(outcome.code))
        row = mapped.row
        self._add_letter(row.key, row.body, row.row_hash, mapped.dedupe_key or dedupe_key(row.key), outcome)
        if self.terms.remembers and not mapped.is_extra:
            self.entries.append(_dead_entry(change, mapped, outcome))

    def add_skipped(self, change: RowChange, code: str) -> None:
        """A row that nothing is sent for."""
        self._count(change, "skipped", code)
        if change.mapped is None or change.known is None:
            return
        known = _anew(change.known, change.mapped.row)
        if code == UNCHANGED and change.mapped.source:
            known = known._replace(source=change.mapped.source)
        if code == UNCHANGED and known.dead is not None:
            known = known._replace(dead=None)
            self._clear(change)
        elif code == SUPERSEDED:
            known = known._replace(delivered=change.mapped.row.row_hash, dead=None, source=change.mapped.source)
        if known != change.known:
            self.entries.append(known)

    def add_gone(self, change: RowChange) -> None:
        """A key that is gone from the query and is to be deleted; it is booked once that was tried."""
        if change.known is None or change.known.delivered is None:
            self.add_kept(change, forget=True)
        elif not change.known.is_gone:
            self.entries.append(change.known._replace(dead=None, is_gone=True))
            self._clear(change)

    def add_kept(self, change: RowChange, *, forget: bool) -> None:
        """A key that is gone from the query and stays at the destination."""
        self.counts["removed"] += 1
        self.counts["kept"] += 1
        self.reasons[f"change.{Change.REMOVED}"] += 1
        if forget and change.known is not None:
            self.entries.append(Entry(change.known.key))
            self._clear(change)

    def add_moved(self, change: RowChange) -> None:
        """A row that the cursor has left behind, or that changed and has another place now."""
        if change.known is not None:
            self.entries.append(Entry(change.known.key))

    def absorb(self, later: "Tally") -> None:
        """Add what became of the rows that follow."""
        self.counts.update(later.counts)
        self.reasons.update(later.reasons)
        self.cleared |= {name: at + len(self.letters) for name, at in later.cleared.items()}
        self.letters += later.letters
        self.entries += later.entries
        self.plain += later.plain
        self.reached = later.reached or self.reached

    def settlement(self, position: Position) -> Settlement:
        """All of it, as one checkpoint writes it."""
        newest = {letter.dedupe_key: at for at, letter in enumerate(self.letters)}
        return Settlement(
            position=position,
            books=Books(**self.counts, reasons=dict(self.reasons)),
            letters=[self.letters[at] for at in newest.values()],
            entries=EntryColumns.gathered(self.plain, self.entries),
            cleared=[name for name, at in self.cleared.items() if newest.get(name, -1) < at],
            watermark=self._watermark,
        )

    def _add_plain(self, sent: PlainChanges, outcomes: Sequence[RowOutcome]) -> None:
        others = not_delivered(outcomes)
        delivered = len(outcomes) - len(others)
        columns = sent.columns
        if others:
            told = [outcomes[at] for at in others]
            if all(map(_is_simply_dead, told)):
                self._add_dead(sent, others, told)
            else:
                self._add_each([sent[at] for at in others], told)
            columns = columns.without(others)
        if not delivered:
            return
        self.counts["read"] += delivered
        self.counts["delivered"] += delivered
        self.reasons[f"change.{sent.change}"] += delivered
        if self.terms.remembers:
            self._remember(columns)

    def _add_dead(self, sent: PlainChanges, places: Sequence[int], outcomes: Sequence[RowOutcome]) -> None:
        """The rows at these places, rejected."""
        outcomes = [*map(_of_destination, outcomes)]
        self.counts["read"] += len(places)
        self.counts["rejected"] += len(places)
        self.reasons[f"change.{sent.change}"] += len(places)
        for code, times in Counter(fit_code(outcome.code) for outcome in outcomes).items():
            self.reasons[f"rejected.{code}"] += times
        columns = sent.columns
        for at, outcome in zip(places, outcomes, strict=True):
            key, row_hash = columns.keys[at], columns.hashes[at]
            self._add_letter(key, columns.bodies[at], row_hash, dedupe_key(key), outcome)
            if self.terms.remembers:
                delivered = None if sent.delivered is None else sent.delivered[at]
                self.entries.append(Entry(key, delivered, row_hash))

    def _add_letter(self, key: RowKey, body: bytes, row_hash: RowHash, name: DedupeKey, outcome: RowOutcome) -> None:
        self.letters.append(
            NewDeadLetter(
                dedupe_key=name,
                row_key=key or None,
                operation=self.terms.operation,
                error_code=fit_code(outcome.code),
                message=outcome.message,
                record_keys=_record_keys(key, body, self.terms.key_fields),
                payload=body,
                row_hash=row_hash,
            )
        )

    def _remember(self, columns: RowColumns) -> None:
        self.plain.append(PlainEntries(columns.keys, columns.hashes, columns.sources))

    def _add_each(self, sent: Sequence[RowChange], outcomes: Sequence[RowOutcome]) -> None:
        for change, outcome in zip(sent, outcomes, strict=True):
            if change.mapped is not None:
                self._add_outcome(change, change.mapped, outcome)

    @property
    def _watermark(self) -> str | None:
        if self.reached is None or not self.terms.moves_watermark:
            return None
        return self.reached if self.terms.latest is None else min(self.reached, self.terms.latest)

    def _add_outcome(self, change: RowChange, mapped: MappedRow, outcome: RowOutcome) -> None:
        if change.change is not None:
            self.reasons[f"change.{change.change}"] += 1
        if outcome.verdict is Verdict.REJECTED:
            self.add_rejected(change, mapped, _of_destination(outcome))
            return
        if outcome.verdict is Verdict.DELIVERED:
            self._count(change, "delivered", outcome.code and fit_code(outcome.code))
        else:
            self._count(change, "skipped", fit_code(outcome.code))
        if change.change is Change.REMOVED:
            self.entries.append(Entry(mapped.place))
        elif self.terms.remembers:
            sent = mapped.row.row_hash
            self.entries.append(Entry(mapped.place, delivered=sent, written=mapped.written, source=mapped.source))
        self._clear(change)

    def _count(self, change: RowChange, outcome: str, code: str = "") -> None:
        is_removed = change.change is Change.REMOVED
        self.counts["removed" if is_removed else "read"] += 1
        booked = _BOOKED_AS[outcome] if is_removed else outcome
        self.counts[booked] += 1
        if code:
            self.reasons[f"{booked}.{code}"] += 1

    def _clear(self, change: RowChange) -> None:
        has_letter = change.known is not None and change.known.dead is not None
        if change.mapped is not None and (has_letter or self.terms.clears_all):
            self.cleared[change.mapped.dedupe_key or dedupe_key(change.mapped.row.key)] = len(self.letters)
            if self.terms.clears_unplaced:
                self.cleared[dedupe_key_of_unplaced(change.mapped.row.key, 0)] = len(self.letters)
        elif change.known is not None and has_letter:
            self.cleared[dedupe_key(change.known.key)] = len(self.letters)


def _is_simply_dead(outcome: RowOutcome) -> bool:
    """Whether its row is rejected, and there is nothing else to say of it."""
    return outcome.verdict is Verdict.REJECTED and outcome.code not in _SAYING_MORE


def _anew(known: Entry, row: Row) -> Entry:
    """What is known of this version of a row, by the hashes of today."""
    if is_old(known.delivered) and is_version(known.delivered, row):
        known = known._replace(delivered=row.row_hash)
    if is_old(known.dead) and is_version(known.dead, row):
        known = known._replace(dead=row.row_hash)
    return known


def _dead_entry(change: RowChange, mapped: MappedRow, outcome: RowOutcome) -> Entry:
    """The version before stays known; what may have come back or arrived without our knowing has to be deleted too."""
    row, known = mapped.row, change.known
    if change.change is Change.REMOVED and known is not None:
        return known._replace(dead=row.row_hash)
    delivered, written = (None, mapped.written) if known is None else (known.delivered, known.written)
    if outcome.code == DUPLICATE_MAPPED_KEY:
        # Another row has its record: this one is judged anew each run, and sent as soon as it is alone.
        return Entry(mapped.place, delivered and UNKNOWN_VERSION, UNKNOWN_VERSION, written=written)
    if outcome.code == IN_DOUBT or (known is not None and known.is_gone):
        delivered = UNKNOWN_VERSION
    return Entry(mapped.place, delivered, row.row_hash, written=written)


def _of_destination(outcome: RowOutcome) -> RowOutcome:
    """A refusal by the destination, whose code is not to be taken for one of ours that says how a letter is closed."""
    is_ours = outcome.code in CODES_OF_QUERIES or outcome.code == DUPLICATE_MAPPED_KEY
    return replace(outcome, code=f"DESTINATION_{outcome.code}") if is_ours else outcome


def _record_keys(key: RowKey, body: bytes, key_fields: Sequence[str]) -> dict[str, object]:
    """The key as it is sent; as the warehouse writes it where a reader of JSON would lose digits, or fail."""
    # A row without key columns has a digest as its key; a kept row may have the key of an earlier definition.
    if key and len(key) != len(key_fields):
        return {}
    try:
        values = orjson.loads(body)
    except orjson.JSONDecodeError:
        values = {}
    # A row without a whole key has no text; what is NULL in it, or cannot be read, shows as null.
    texts = key or (None,) * len(key_fields)
    keys: dict[str, object] = {}
    for name, text in zip(key_fields, texts, strict=True):
        value = values.get(name)
        keys[name] = _begun(text if value is None or isinstance(value, _UNFAITHFUL) else value)
    return keys


def _begun(value: object) -> object:
    """A value as lists show it: of a long text the beginning; no store can hold NUL."""
    if not isinstance(value, str):
        return value
    shown = value.replace("\0", "\ufffd")
    return shown if len(shown) <= _SHOWN_MOST else f"{shown[:_SHOWN_MOST]}..."
