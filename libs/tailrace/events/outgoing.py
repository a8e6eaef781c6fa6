"""From an event's model to the form in which it waits in the outbox."""

from tailrace.core.outgoing import OutgoingEvent, new_event_id
from tailrace.events.models import Event


def outgoing(event: Event, *, key: str) -> OutgoingEvent:
    """The event with a fresh id. Keys: the sync's id for requests and failures, the run's id for results."""
    return OutgoingEvent(event.type, key, event.model_dump_json().encode(), new_event_id())
