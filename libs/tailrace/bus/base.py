"""The port to the event bus: what is promised is what `tailrace.testing.bus_contract` tests."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from tailrace.core.errors import Invalid
from tailrace.core.outgoing import MAX_EVENT_BYTES
from tailrace.events.topics import DLQ_SUFFIX

MAX_PUT_ASIDE_BYTES = 900 * 1024
"""What others sent may be larger than an event of ours; with new headers it still fits a broker's default limit."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is put on a topic: messages of one key keep their order.

    :raises Invalid: the value is larger than an event, or a put-aside one, may be.
    """

    topic: str
    key: str
    value: bytes
    headers: Mapping[str, bytes]

    def __post_init__(self) -> None:
        limit = MAX_PUT_ASIDE_BYTES if self.topic.endswith(DLQ_SUFFIX) else MAX_EVENT_BYTES
        if len(self.value) > limit:
            raise Invalid(
                f"a message for {self.topic} has {len(self.value)} bytes, {limit} at most: send ids, not content",
                code="EVENT_TOO_LARGE",
            )


@dataclass(frozen=True, slots=True)
class Received:
    """A message as it came from the bus, and where it stood there. Foreign producers may leave out key and headers.

    `timestamp_ms` is when it was put there, in Unix milliseconds: a topic made anew repeats offsets, not times.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes]
    timestamp_ms: int


class Subscription(ABC):
    """A member of a consumer group. Messages come at least once; what is not committed comes again."""

    @abstractmethod
    async def receive(self, *, at_most: int, wait_s: float) -> Sequence[Received]:
        """Up to `at_most` messages, as soon as there are any; none after `wait_s`.

        :raises BusUnavailable: the member is of no more use: close it and subscribe anew.
        """

    @abstractmethod
    async def commit(self) -> None:
        """Everything received so far is done with. Bounded in time; a failure means that it may come again.

        :raises BusUnavailable: the commit did not succeed.
        """


class Bus(ABC):
    """Topics that messages are published to and groups subscribe to. Kafka tells, Postgres decides."""

    @abstractmethod
    async def publish(self, messages: Sequence[Message]) -> None:
        """Put messages on their topics; returns when all are acknowledged.

        :raises BusUnavailable: some may be on their topic, now or later. Sending all again is safe: consumers dedupe.
        """

    @abstractmethod
    def subscribe(self, topics: Sequence[str], *, group: str, member: str) -> AbstractAsyncContextManager[Subscription]:
        """A member of `group`, from the oldest message that the group has not committed.

        `member` is what tools shall call it, a pod's name; several may have the same. What a member had comes to the
        others soon after it leaves, and after a while where it is gone without a word.

        :raises BusUnavailable: the bus does not answer, or lacks one of the topics.
        """

    @abstractmethod
    async def check(self) -> None:
        """Return if the bus answers.

        :raises BusUnavailable: it does not.
        """
