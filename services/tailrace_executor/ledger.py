"""The ledger of one run: its checkpoints in PostgreSQL, with the events that tell of them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import structlog

from tailrace.core.clock import Clock
from tailrace.core.errors import LeaseLost, StoreUnavailable
from tailrace.core.ids import DeadLetterId
from tailrace.core.outgoing import OutgoingEvent
from tailrace.core.runs import Books
from tailrace.core.settlements import Rejections, Settlement
from tailrace.events.models import BatchCompleted, RowFailed
from tailrace.events.outgoing import outgoing
from tailrace.observe import metrics
from tailrace.pipeline.columns import PinnedColumns
from tailrace.pipeline.settle import Commit
from tailrace.pipeline.tenure import Tenure
from tailrace.store.checkpoints import Checkpoints, Place, Prepared, position_of
from tailrace.store.shards import Claim, rejections_of

_LETTERS_PER_EVENT = 100
_RETRY_S = 0.5

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """How long a lease lasts, and how long before its end we stop to write."""

    ttl_s: float
    margin_s: float
    grace_s: float
    heartbeat_s: float

    def until(self, stamp: float) -> float:
        """The local deadline of a lease that was taken or renewed after `stamp`, a monotonic time."""
        return stamp + self.ttl_s - self.margin_s


class RunLedger:
    """Writes the checkpoints of a claimed shard, one after another; knows what all of them come to.

    `columns` is what every reading of the run has to agree with; `elsewhere` is what other shards of it have sent, as
    far as is known.
    """

    def __init__(self, claim: Claim, checkpoints: Checkpoints, tenure: Tenure, clock: Clock, terms: LeaseTerms) -> None:
        self.claim = claim
        self._checkpoints = checkpoints
        self._tenure = tenure
        self._clock = clock
        self._terms = terms
        self._seq = claim.checkpoint_seq
        self.books = claim.books
        self.position = position_of(claim.checkpoint)
        self.rejections = rejections_of(claim.checkpoint)
        self.elsewhere = claim.elsewhere
        self._began = clock.monotonic() - max(0.0, claim.begun_for_s)
        self.columns = PinnedColumns((claim.checkpoint or {}).get("columns"))

    @property
    def has_not_begun(self) -> bool:
        """Whether nothing of the shard has been settled yet."""
        return not self._seq

    @property
    def run_for_s(self) -> float:
        """How long ago the run was first claimed, by whomever."""
        return self._clock.monotonic() - self._began

    def prepare(self, settlement: Settlement) -> Commit:
        """Make a checkpoint ready; gives what writes it as the next one, with its events.

        Letters are sealed once, however often it has to be asked for.
        """
        return partial(self._commit, self._checkpoints.prepare(self._place.origin, settlement))

    async def _commit(self, prepared: Prepared) -> Rejections:
        """Write one checkpoint; while the store is away, ask again until the lease runs out.

        Gives what other shards of the run have sent.

        :raises LeaseLost: the run is somebody else's, or may be by now.
        """
        place, settlement = self._place, prepared.settlement
        while True:
            stamp = self._clock.monotonic()
            try:
                elsewhere = await self._checkpoints.commit(
                    place, prepared, lambda seq, letters: list(self._events(seq, settlement.books, letters))
                )
                # It is not told again where the answer of the store got lost.
                self.elsewhere = elsewhere or self.elsewhere
                break
            except StoreUnavailable as error:
                if self._tenure.left_s <= _RETRY_S:
                    raise LeaseLost("the store stayed away until the lease ran out") from error
                _log.warning("checkpoint.delayed", code=error.code)
                await self._clock.sleep(_RETRY_S)
        self._tenure.renew(until=self._terms.until(stamp))
        self._seq += 1
        self.books += settlement.books
        self.position = settlement.position
        self.rejections = settlement.rejections
        _observe(settlement.books, self._clock.monotonic() - stamp)
        return self.elsewhere

    @property
    def _place(self) -> Place:
        """Where the next checkpoint goes."""
        return Place(
            lease=self.claim.lease,
            workspace_id=self.claim.workspace_id,
            sync_id=self.claim.sync_id,
            seq=self._seq,
            ttl_s=self._terms.ttl_s,
            columns=self.columns.digest,
            reasons=self.books.reasons,
        )

    def _events(self, seq: int, books: Books, letters: Mapping[DeadLetterId, str]) -> Iterator[OutgoingEvent]:
        claim = self.claim
        ids = {"run_id": claim.lease.run_id, "sync_id": claim.sync_id, "workspace_id": claim.workspace_id}
        completed = BatchCompleted(
            **ids,
            shard=claim.lease.shard,
            epoch=claim.lease.epoch,
            seq=seq,
            read=books.read,
            delivered=books.delivered,
            skipped=books.skipped,
            rejected=books.rejected,
        )
        yield outgoing(completed, key=claim.lease.run_id)
        known = list(letters)
        for at in range(0, len(known), _LETTERS_PER_EVENT):
            some = known[at : at + _LETTERS_PER_EVENT]
            codes = Counter(letters[letter] for letter in some)
            failed = RowFailed(**ids, dead_letter_ids=list(some), by_error_code=dict(codes))
            yield outgoing(failed, key=claim.sync_id)


def _observe(books: Books, took_s: float) -> None:
    metrics.CHECKPOINT_DURATION.observe(took_s)
    metrics.ROWS.labels(outcome="delivered").inc(books.delivered)
    metrics.ROWS.labels(outcome="skipped").inc(books.skipped)
    metrics.ROWS.labels(outcome="rejected").inc(books.failed)
