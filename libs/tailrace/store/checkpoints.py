"""The one transaction that makes "no lost row", "no lost dead letter" and "the books balance" true at once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any

from tailrace.core.errors import LeaseLost
from tailrace.core.ids import DeadLetterId, SyncId, WorkspaceId
from tailrace.core.outgoing import OutgoingEvent
from tailrace.core.rows import RowKey
from tailrace.core.runs import COUNTS, Books, Lease
from tailrace.core.settlements import Phase, Position, Rejections, Settlement
from tailrace.observe.failpoints import failpoint
from tailrace.store.database import Connection, Database
from tailrace.store.new_letters import Origin, SealedLetters, add_letters, seal_letters
from tailrace.store.outbox import enqueued, enqueueing
from tailrace.store.secrets import SecretBox
from tailrace.store.shards import SENT_ELSEWHERE, sent_elsewhere
from tailrace.store.snapshots import SETTLING_ARGUMENTS, raise_watermark, settled, settling

Announce = Callable[[int, Mapping[DeadLetterId, str]], Sequence[OutgoingEvent]]
"""From the checkpoint's number and the letters it wrote (id to error code) to the events that tell of it."""

_STAND = """
SELECT checkpoint_seq FROM run_shards
WHERE run_id = $1 AND shard = $2 AND lease_token = $3 AND state = 'running' FOR UPDATE
"""
_FIRST_COUNT = 8
_FIRST_OF_SNAPSHOT = _FIRST_COUNT + len(COUNTS)
_FIRST_OF_EVENTS = _FIRST_OF_SNAPSHOT + SETTLING_ARGUMENTS
_GOT_THROUGH = " + ".join(f"${_FIRST_COUNT + COUNTS.index(name)}::bigint" for name in ("delivered", "deleted"))
_ADD_COUNTS = ", ".join(f"rows_{name} = rows_{name} + ${at}" for at, name in enumerate(COUNTS, start=_FIRST_COUNT))
# One trip writes all that most checkpoints have: whether the shard is ours, and at that number, decides over all of it.
_ADVANCE = f"""
WITH advanced AS (
  UPDATE run_shards SET checkpoint_seq = checkpoint_seq + 1, heartbeat_seq = heartbeat_seq + 1,
    attempts_without_progress = 0, checkpoint = $5, reasons = $6,
    lease_expires_at = clock_timestamp() + $7::interval,
    paused_since = CASE WHEN {_GOT_THROUGH} > 0 THEN NULL ELSE paused_since END,
    pauses = CASE WHEN {_GOT_THROUGH} > 0 THEN 0 ELSE pauses END, {_ADD_COUNTS}
  WHERE run_id = $1 AND shard = $2 AND lease_token = $3 AND state = 'running' AND checkpoint_seq = $4
  RETURNING run_id
), in_snapshot AS ({settling("advanced", first=_FIRST_OF_SNAPSHOT)}
), told AS ({enqueueing("advanced", first=_FIRST_OF_EVENTS)})
SELECT {SENT_ELSEWHERE} FROM advanced CROSS JOIN (SELECT $1::text AS run_id, $2::smallint AS shard) AS shards
"""  # noqa: S608 - names and numbers of our own
_CLEAR_LETTERS = """
UPDATE dead_letters SET state = 'resolved', resolved_at = clock_timestamp(), resolved_by = 'tailrace',
  resolution = CASE WHEN state = 'replaying' THEN 'replayed' ELSE 'superseded' END
WHERE sync_id = $1 AND dedupe_key = ANY ($2) AND state IN ('open', 'replaying')
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Whose checkpoint it is, the number of the one before it, and the reasons that the run has given until then."""

    lease: Lease
    workspace_id: WorkspaceId
    sync_id: SyncId
    seq: int
    ttl_s: float
    columns: str | None = None
    reasons: Mapping[str, int] = field(default_factory=dict)

    @property
    def origin(self) -> Origin:
        """Where its letters come from."""
        return Origin(self.workspace_id, self.sync_id, self.lease.run_id)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A settlement in the form it is written in: its letters sealed, what is known of its rows packed."""

    settlement: Settlement
    letters: Sequence[SealedLetters] = ()
    entries: tuple[object, ...] = ()


class Checkpoints:
    """Writes checkpoints for the executors of all workspaces."""

    def __init__(self, database: Database, box: SecretBox) -> None:
        self._database = database
        self._box = box

    def prepare(self, origin: Origin, settlement: Settlement) -> Prepared:
        """Do what takes time and no connection, whatever is being written meanwhile."""
        letters = seal_letters(self._box, origin, settlement.letters)
        return Prepared(settlement, letters, settled(origin.sync_id, settlement.entries))

    async def commit(self, place: Place, prepared: Prepared, announce: Announce) -> Rejections | None:
        """Write a settlement as the checkpoint that follows `place.seq`.

        Gives what the other shards of the run have written of rows they sent; None if the checkpoint stood already.
        Calling again with the same arguments after a broken commit is safe: what was written is not written twice.

        :raises LeaseLost: nothing was written.
        :raises StoreUnavailable: it may have been written.
        """
        async with self._database.transaction() as connection:
            is_odd = prepared.settlement.is_odd
            if is_odd and await _is_written(connection, place):
                return None
            letters = await _settle_odd(connection, place, prepared) if is_odd else {}
            failpoint("exec.ckpt_after_dlq_insert")
            arguments = _arguments(place, prepared, announce(place.seq + 1, letters))
            elsewhere = await connection.fetchrow(_ADVANCE, *arguments)
            if elsewhere is None:
                if await _is_written(connection, place):
                    return None
                raise LeaseLost(f"run {place.lease.run_id} did not stand where it seemed to")
            failpoint("exec.ckpt_after_run_update_before_commit")
        failpoint("exec.ckpt_after_commit")
        return sent_elsewhere(elsewhere["elsewhere"])


def position_of(checkpoint: Mapping[str, Any] | None) -> Position:
    """The position of a stored checkpoint; the start where there is none."""
    if checkpoint is None:
        return Position()
    after = checkpoint["after"]
    phase = Phase(checkpoint.get("phase", Phase.ROWS))
    return Position(None if after is None else RowKey(tuple(after)), checkpoint["null_rows"], phase)


async def _settle_odd(connection: Connection, place: Place, prepared: Prepared) -> dict[DeadLetterId, str]:
    """Write what most checkpoints have nothing of; gives the letters."""
    settlement = prepared.settlement
    letters = await add_letters(connection, prepared.letters)
    if settlement.cleared:
        await connection.execute(_CLEAR_LETTERS, place.sync_id, list(settlement.cleared))
    if settlement.watermark is not None:
        await raise_watermark(connection, place.sync_id, settlement.watermark)
    return letters


async def _is_written(connection: Connection, place: Place) -> bool:
    """Whether this very checkpoint stands already; if not, the shard is ours for the rest of the transaction.

    :raises LeaseLost: it is neither that nor the one to follow.
    """
    stands_at = await connection.fetchval(_STAND, *place.lease.identity)
    if stands_at not in {place.seq, place.seq + 1}:
        raise LeaseLost(f"run {place.lease.run_id} belongs to another executor")
    return bool(stands_at == place.seq + 1)


def _arguments(place: Place, prepared: Prepared, events: Sequence[OutgoingEvent]) -> tuple[object, ...]:
    settlement = prepared.settlement
    position, books = settlement.position, settlement.books
    checkpoint = {
        "after": position.after,
        "null_rows": position.null_rows,
        "phase": position.phase,
        "columns": place.columns,
        "rejections": asdict(settlement.rejections),
    }
    reasons = (Books(reasons=place.reasons) + Books(reasons=books.reasons)).reasons
    return (
        *(*place.lease.identity, place.seq, checkpoint, reasons, timedelta(seconds=place.ttl_s)),
        *(getattr(books, name) for name in COUNTS),
        *prepared.entries,
        *enqueued(events),
    )
