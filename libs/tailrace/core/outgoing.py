"""An event on its way out: written to the outbox in the transaction that makes it true."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

MAX_EVENT_BYTES = 16 * 1024
"""No event's data is larger: ids, keys and codes travel, rows never do."""


@dataclass(frozen=True, slots=True)
class OutgoingEvent:
    """The type names the topic, `data` is the JSON of the event's model; events of a key keep their order."""

    type: str
    key: str
    data: bytes
    event_id: str


@dataclass(frozen=True, slots=True)
class WaitingEvent:
    """An event in the outbox; `place` grows with each commit of the same key."""

    place: int
    event: OutgoingEvent
    created_at: datetime
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class TakenShards:
    """Parts of the outbox that one relay has for a while, and their oldest events in order; it may have more parts."""

    shards: Collection[int]
    events: Sequence[WaitingEvent]


def new_event_id() -> str:
    """A fresh event id, unique for ever."""
    return str(uuid4())
