"""What the DLQ manager does. PostgreSQL holds the letters; events only make it quicker."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import structlog

from tailrace.bus.cloudevents import Incoming
from tailrace.core.ids import DeadLetterId
from tailrace.events.models import RowFailed
from tailrace.observe import fields, metrics
from tailrace.observe.failpoints import failpoint
from tailrace.store.dead_letter_upkeep import DeadLetterUpkeep, Noticed

UNKNOWN = "unknown"

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Triage:
    """Each letter is noticed once by all managers together; the gauges of each manager show all letters."""

    upkeep: DeadLetterUpkeep
    shown: set[str] = field(default_factory=set)

    async def take_notice(self, incoming: Incoming) -> None:
        """Notice the letters that an event tells of; a repeat finds them noticed.

        Ids without a letter are counted: the letters may be past their time, or the event from a database since lost.
        """
        event = incoming.event
        if not isinstance(event, RowFailed):
            raise TypeError(f"{incoming.topic} brings failed rows, not {event.type}")
        ids = [DeadLetterId(letter_id) for letter_id in event.dead_letter_ids]
        failpoint("dlq.after_consume_before_upsert")
        noticed = await self.upkeep.notice(ids)
        failpoint("dlq.after_upsert_before_commit_offset")
        _tell(noticed)
        if sum(entry.letters for entry in noticed) < len(ids) and (unknown := await self.upkeep.unknown(ids)):
            metrics.EVENTS.labels(RowFailed.type, UNKNOWN).inc()
            _log.warning("letters.unknown", count=len(unknown), **{fields.RUN_ID: event.run_id})

    async def reconcile(self) -> None:
        """Notice what no event told of."""
        while noticed := await self.upkeep.notice_oldest():
            _tell(noticed)

    async def count(self) -> None:
        """Show how many letters are open, by code."""
        labelled: Counter[str] = Counter()
        for code, letters in (await self.upkeep.open_by_error_code()).items():
            labelled[metrics.error_code_label(code)] += letters
        self.shown |= set(labelled)
        for label in self.shown:
            metrics.DLQ_OPEN.labels(label).set(labelled[label])

    async def prune(self) -> None:
        """Delete letters that were resolved long ago."""
        while pruned := await self.upkeep.prune():
            _log.info("letters.pruned", count=pruned)


def _tell(noticed: Iterable[Noticed]) -> None:
    for entry in noticed:
        metrics.DLQ_LETTERS.labels(metrics.error_code_label(entry.error_code)).inc(entry.letters)
        _log.warning(
            "letters.noticed",
            count=entry.letters,
            **{
                fields.WORKSPACE_ID: entry.workspace_id,
                fields.SYNC_ID: entry.sync_id,
                fields.CODE: entry.error_code,
            },
        )
