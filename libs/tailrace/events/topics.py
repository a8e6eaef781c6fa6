"""Which topics there are, and what they are called under the prefix of an installation."""

from dataclasses import dataclass
from typing import Final

from tailrace.events.models import ALL, BatchCompleted, Event, RowFailed, RunFinished, RunQueued, RunRequested

DEFAULT_PREFIX: Final = "tailrace"
DLQ_SUFFIX: Final = ".dlq"
RETENTION_MS: Final = 7 * 24 * 3600 * 1000
"""As long as the inbox remembers: a repeat that can still be read is still known."""

# More partitions than executors ever share the work; adding some later moves keys to other partitions.
PARTITIONS: Final[dict[type[Event], int]] = {
    RunRequested: 12,
    RunQueued: 12,
    BatchCompleted: 12,
    RowFailed: 6,
    RunFinished: 3,
}


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic by its full name."""

    name: str
    partitions: int


@dataclass(frozen=True, slots=True)
class TopicNames:
    """The names of one installation: its prefix stands in for the leading `tailrace` of event types."""

    prefix: str = DEFAULT_PREFIX

    def of(self, event_type: str) -> str:
        """The topic of an event type."""
        return self.prefix + event_type.removeprefix(DEFAULT_PREFIX)

    def group(self, service: str) -> str:
        """The consumer group of a service."""
        return f"{self.prefix}.{service}"

    @property
    def source(self) -> str:
        """The CloudEvents source of every event that the installation sends."""
        return f"urn:tailrace:{self.prefix}"

    def all(self) -> list[Topic]:
        """Every topic: those of the events, then those for what could not be read or handled."""
        events = [Topic(self.of(event.type), PARTITIONS[event]) for event in ALL]
        return [*events, *(Topic(dead_letter_topic(topic.name), 1) for topic in events)]


def schema_id(event_type: str) -> str:
    """The URI of the JSON Schema of an event type's data."""
    return f"urn:tailrace:schema:{event_type}"


def dead_letter_topic(topic: str) -> str:
    """Where an event goes that could not be read or handled: an event, not a row."""
    return topic + DLQ_SUFFIX
