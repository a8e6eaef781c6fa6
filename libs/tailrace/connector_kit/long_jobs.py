"""Jobs at a destination that may outlive a write: asked about until they end, by the next write of their batch too."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from tailrace.core.clock import Clock
from tailrace.core.errors import DestinationInvalid, InDoubt, Unfinished

MOST_HOURS = 6
"""What works for longer than this is given up."""

Told = TypeVar("Told")


class _Job(NamedTuple):
    id: str
    until: float


@dataclass(frozen=True, slots=True)
class LongJobs:
    """The jobs of a connection, each by the batch that it was made for."""

    clock: Clock
    poll_s: float
    _by_batch: dict[str, _Job] = field(default_factory=dict)

    def id_of(self, batch_id: str) -> str | None:
        """The job that works on a batch."""
        job = self._by_batch.get(batch_id)
        return None if job is None else job.id

    def begin(self, batch_id: str, job_id: str) -> None:
        """Note that a job works on a batch."""
        self._by_batch[batch_id] = _Job(job_id, self.clock.monotonic() + MOST_HOURS * 3600)

    def forget(self, batch_id: str) -> None:
        """Make a new job when that batch is written again."""
        self._by_batch.pop(batch_id, None)

    async def ended(self, batch_id: str, look: Callable[[], Awaitable[Told | None]], until: float) -> Told:
        """What `look` tells of a job that has ended; None as long as it works.

        :raises Unfinished: it has not ended by then.
        :raises InDoubt: it works for hours, or the destination knows it no more; it is forgotten.
        """
        while (told := await self._told(batch_id, look)) is None:
            now = self.clock.monotonic()
            if now >= self._by_batch[batch_id].until:
                self.forget(batch_id)
                raise InDoubt(f"the destination has not ended a job within {MOST_HOURS} hours")
            if now >= until:
                raise Unfinished("the job is not done yet", retry_after_s=self.poll_s)
            await self.clock.sleep(self.poll_s)
        return told

    async def _told(self, batch_id: str, look: Callable[[], Awaitable[Told | None]]) -> Told | None:
        try:
            return await look()
        except DestinationInvalid as error:
            self.forget(batch_id)
            raise InDoubt(f"the destination tells nothing of a job: {error.message}") from error
