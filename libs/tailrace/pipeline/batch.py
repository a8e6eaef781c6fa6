"""Step 3 of a row: decided by the mode, and cut into batches by count and size, never by time.

A run that resumes cuts the same rows into the same batches, so that a batch sent twice carries the same key.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from typing import NamedTuple

from tailrace.connector_kit.destination import WritePlan
from tailrace.core.batches import Batch
from tailrace.core.row_columns import RowColumns
from tailrace.core.rows import Change, Row, RowKey, rejected
from tailrace.core.runs import RunKind
from tailrace.core.settlements import DedupeKey, Phase, Position, dedupe_key
from tailrace.core.snapshots import is_version
from tailrace.core.syncs import SyncMode
from tailrace.pipeline.lineage import Lineage
from tailrace.pipeline.modes import sent_changes
from tailrace.pipeline.plain import MappedRow, PlainChanges, PlainUpdates, RowChange
from tailrace.pipeline.room import Room
from tailrace.pipeline.tally import NOT_IN_MODE, STILL_DEAD, SUPERSEDED, UNCHANGED, Tally, Terms

ROW_TOO_LARGE = "ROW_TOO_LARGE"

_NO_KEYS: frozenset[RowKey] = frozenset()

StillDead = Callable[[Sequence[DedupeKey]], Awaitable[Mapping[DedupeKey, bool]]]
"""Which of the rows lie as dead letters that nobody resolved; True where a delivery of their key closed the letter."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What decides about a row besides the row itself.

    By a cursor, `since` is the watermark that the run found, and `latest` the highest it may leave. `has_old_letters`:
    some are of an earlier definition, so that what is known of their rows does not tell of them.
    """

    lineage: Lineage
    mode: SyncMode
    kind: RunKind
    plan: WritePlan
    still_dead: StillDead
    by_cursor: bool = False
    since: str | None = None
    latest: str | None = None
    has_old_letters: bool = False

    @property
    def sends(self) -> frozenset[Change]:
        """What has to have happened to a row for it to be sent."""
        return sent_changes(self.mode, self.kind)

    @property
    def keys_return(self) -> bool:
        """Whether a key may come again later in the run, in another version."""
        return bool(self.plan.target.key_fields) and (self.by_cursor or self.mode is SyncMode.APPEND)

    @property
    def terms(self) -> Terms:
        """What a tally has to know of the run."""
        target, are_events, is_replay = self.plan.target, self.mode is SyncMode.APPEND, self.kind is RunKind.REPLAY
        return Terms(
            operation=target.operation,
            key_fields=target.key_fields,
            remembers=not is_replay if self.by_cursor else not are_events,
            clears_all=self.by_cursor or are_events or is_replay or self.has_old_letters,
            clears_unplaced=self.by_cursor and is_replay,
            moves_watermark=self.by_cursor and not is_replay,
            latest=self.latest,
        )


class Parcel(NamedTuple):
    """A run of neighbouring rows: those to send, what was decided about the others, and where the run stands after.

    `changes` are those to send, in stretches; each of them has a mapped row. Their bodies come to `size_bytes`.
    `decided` is None where nothing was, as in most small parcels. `keys` are those that other parcels may hold too:
    such parcels are sent one after another.
    """

    changes: Sequence[Sequence[RowChange]]
    batch: Batch | None
    terms: Terms
    decided: Tally | None
    position: Position
    keys: frozenset[RowKey] = _NO_KEYS
    size_bytes: int = 0

    @property
    def rows_to_send(self) -> int:
        """How many rows may have to be sent again if the parcel is not settled."""
        return 0 if self.batch is None else len(self.batch.rows)


async def batch(changes: AsyncIterator[Sequence[RowChange]], recipe: Recipe, start: Position) -> AsyncIterator[Parcel]:
    """Cut changes into parcels for the plan of the recipe; rows of the same place are never parted."""
    cut = _Cut(recipe, start)
    async for some in changes:
        if isinstance(some, PlainChanges | PlainUpdates) and cut.takes_stretches_of(some):
            at = 0
            while at < len(some):
                taken = cut.add_stretch(some, at)
                if not taken:
                    yield cut.close()
                at += taken
            continue
        dead = await _still_dead(some, recipe)
        for change in some:
            if cut.is_full_before(change):
                yield cut.close()
            cut.add(change, dead)
    if cut.room.rows:
        yield cut.close()


@dataclass(slots=True)
class _Cut:
    recipe: Recipe
    position: InitVar[Position]
    after: RowKey | None = field(init=False)
    null_rows: int = field(init=False)
    phase: Phase = field(init=False)
    sends: frozenset[Change] = field(init=False)
    terms: Terms = field(init=False)
    keys_return: bool = field(init=False)
    room: Room = field(init=False)
    changes: list[Sequence[RowChange]] = field(default_factory=list)
    singles: list[RowChange] = field(default_factory=list)
    keys: set[RowKey] = field(default_factory=set)
    tally: Tally | None = None
    begins: Position = field(init=False)
    nth: int = 0

    def __post_init__(self, position: Position) -> None:
        self.begins = position
        self.after, self.null_rows, self.phase = position.after, position.null_rows, position.phase
        self.sends = self.recipe.sends
        self.terms = self.recipe.terms
        self.keys_return = self.recipe.keys_return
        self.room = self._fresh_room()

    @property
    def decided(self) -> Tally:
        """What was decided about the rows of the next parcel."""
        if self.tally is None:
            self.tally = Tally(self.terms)
        return self.tally

    def is_full_before(self, change: RowChange) -> bool:
        place = _place(change)
        if place and place == self.after:
            return False
        if self.room.is_over:
            return True
        if change.mapped is None:
            return False
        row = change.mapped.row
        if row.key in self.keys:
            return True
        # What needs nothing takes no room: its body may not even be known.
        takes_room = (change.change or Change.ADDED) in self.sends
        return takes_room and not self.room.has_bytes_for(len(row.body))

    def takes_stretches_of(self, changes: PlainChanges | PlainUpdates) -> bool:
        """Whether all of them are decided by what happened to them: none is too large, or may come again."""
        columns = changes.columns if isinstance(changes, PlainChanges) else changes.changed
        most = self.recipe.plan.bytes_per_batch
        return not self.recipe.by_cursor and (columns.size_bytes <= most or max(map(len, columns.bodies)) <= most)

    def add_stretch(self, changes: PlainChanges | PlainUpdates, at: int) -> int:
        """Take in as many from a place on as there is room for, and give how many that is."""
        return self._add_plain(changes, at) if isinstance(changes, PlainChanges) else self._add_updates(changes, at)

    def _add_plain(self, changes: PlainChanges, at: int) -> int:
        is_sent = changes.change in self.sends
        taken = self.room.to_send(changes.columns, at) if is_sent else min(self.room.to_decide, len(changes) - at)
        if taken <= 0 or self.room.is_over:
            return 0
        some = changes[at : at + taken]
        self.after = some.columns.keys[-1]
        if is_sent:
            self._send(some)
        else:
            self.room.take(taken)
            self.decided.add_plain_skipped(some, _why_not(some.change))
        return taken

    def _add_updates(self, updates: PlainUpdates, at: int) -> int:
        if self.room.is_over:
            return 0
        is_sent = Change.CHANGED in self.sends
        end, changed = self.room.of_updates(updates, at, is_sent=is_sent)
        if at == end:
            return 0
        self.after = updates.keys[end - 1]
        if changed and is_sent:
            self._send(changed)
        elif changed:
            self.room.take(len(changed))
            self.decided.add_plain_skipped(changed, NOT_IN_MODE)
        if unchanged := end - at - len(changed):
            self.room.take(unchanged)
            self.decided.count_skipped(unchanged, UNCHANGED)
            self.decided.learn(updates.to_learn(at, end))
        return end - at

    def add(self, change: RowChange, dead: Mapping[DedupeKey, bool]) -> None:
        self.room.take(1)
        place = _place(change)
        if place:
            self.after = place
        else:
            self.null_rows += 1
        if change.mapped is None:
            self._leave(change)
            return
        if place and self.recipe.by_cursor:
            self.decided.reached = place[0]
        name = _dead_version(change) if dead else None
        if name is not None and name in dead:
            self.decided.add_skipped(change, SUPERSEDED if dead[name] else STILL_DEAD)
        elif change.mapped.problem is not None:
            self.decided.add_rejected(change, change.mapped, change.mapped.problem)
        else:
            self._decide(change, change.mapped)

    def close(self) -> Parcel:
        self._end_singles()
        rows = _rows(self.changes)
        sent = self.recipe.plan.target.operation
        made = Batch(sent, rows, self.recipe.lineage.key_of(sent, rows, self.begins, self.nth)) if rows else None
        keys = frozenset(row.key for row in rows) if self.keys_return else _NO_KEYS
        position = Position(self.after, self.null_rows, self.phase)
        parcel = Parcel(self.changes, made, self.terms, self.tally, position, keys, self.room.size_bytes)
        self.changes, self.keys, self.tally, self.room = [], set(), None, self._fresh_room()
        # Rows that are alike may be more than a batch takes, all of them at one place.
        self.begins, self.nth = position, self.nth + 1 if position == self.begins else 0
        return parcel

    def _send(self, some: PlainChanges) -> None:
        self._end_singles()
        self.changes.append(some)
        self.room.take(len(some), sending=len(some), size_bytes=some.columns.size_bytes)

    def _fresh_room(self) -> Room:
        return Room(self.recipe.plan.rows_per_batch, self.recipe.plan.bytes_per_batch)

    def _end_singles(self) -> None:
        if self.singles:
            self.changes.append(self.singles)
            self.singles = []

    def _leave(self, change: RowChange) -> None:
        match self.recipe.mode:
            case _ if self.recipe.by_cursor:
                self.decided.add_moved(change)
            case SyncMode.MIRROR if self.phase is Phase.DELETES:
                self.decided.add_kept(change, forget=True)
            case SyncMode.MIRROR:
                self.decided.add_gone(change)
            case SyncMode.INSERT:
                # What was inserted is known for good, so that it is not inserted again.
                self.decided.add_kept(change, forget=change.known is not None and change.known.delivered is None)
            case _:
                self.decided.add_kept(change, forget=True)

    def _decide(self, change: RowChange, mapped: MappedRow) -> None:
        size_bytes = len(mapped.row.body)
        if (change.change or Change.ADDED) not in self.sends:
            self.decided.add_skipped(change, _why_not(change.change))
        elif size_bytes > self.recipe.plan.bytes_per_batch:
            limit = f"a row is {size_bytes} bytes, the destination takes {self.recipe.plan.bytes_per_batch}"
            self.decided.add_rejected(change, mapped, rejected(ROW_TOO_LARGE, limit))
        else:
            self.singles.append(change)
            self.room.take(0, sending=1, size_bytes=size_bytes)
            if self.recipe.by_cursor and self.recipe.plan.target.key_fields:
                self.keys.add(mapped.row.key)


def _rows(stretches: Sequence[Sequence[RowChange]]) -> Sequence[Row]:
    """The rows of stretches, in columns where all of them are."""
    plain = [some.columns for some in stretches if isinstance(some, PlainChanges)]
    if plain and len(plain) == len(stretches):
        return RowColumns.joined(plain)
    return [change.mapped.row for some in stretches for change in some if change.mapped is not None]


def _why_not(change: Change | None) -> str:
    return UNCHANGED if change is Change.UNCHANGED else NOT_IN_MODE


async def _still_dead(changes: Sequence[RowChange], recipe: Recipe) -> Mapping[DedupeKey, bool]:
    """By a cursor, a version whose letter was closed by a delivery of its key is done with: a newer one was sent."""
    if recipe.kind is not RunKind.INCREMENTAL:
        return {}
    suspects = [key for change in changes if (key := _dead_version(change)) is not None]
    found = await recipe.still_dead(suspects) if suspects else {}
    return {name: is_done for name, is_done in found.items() if recipe.by_cursor or not is_done}


def _dead_version(change: RowChange) -> DedupeKey | None:
    """The dedupe key of a row whose very version was rejected before."""
    if change.mapped is None or change.known is None or not is_version(change.known.dead, change.mapped.row):
        return None
    return change.mapped.dedupe_key or dedupe_key(change.mapped.row.key)


def _place(change: RowChange) -> RowKey:
    return change.mapped.place if change.mapped is not None else change.known.key if change.known else RowKey(())
