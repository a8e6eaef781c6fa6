"""What is remembered of the outside, for how long, and how much of it."""

from dataclasses import dataclass, field

import pytest

from tailrace.core.clock import SystemClock
from tailrace_gateway.memory import Memory


class _HeldClock(SystemClock):
    """Stands still until it is moved."""

    moment = 0.0

    def monotonic(self) -> float:
        return self.moment


@dataclass
class _Source:
    """Answers with how often it was asked."""

    asked: int = 0
    clock: _HeldClock = field(default_factory=_HeldClock)

    async def ask(self) -> int:
        self.asked += 1
        return self.asked

    async def fail(self) -> int:
        raise ConnectionError


def _memory(source: _Source) -> Memory[int]:
    return Memory(source.clock, for_s=60.0, most=2)


async def test_answer_is_remembered_for_its_time() -> None:
    source = _Source()
    memory = _memory(source)

    answers = []
    for moment in (0.0, 59.9, 60.1):
        source.clock.moment = moment
        answers.append(await memory.recall("key", source.ask))

    assert answers == [1, 1, 2]


async def test_keys_are_told_apart_and_the_oldest_goes() -> None:
    source = _Source()
    memory = _memory(source)

    first, second, third = [await memory.recall(key, source.ask) for key in ("a", "b", "c")]
    again = await memory.recall("a", source.ask)
    kept = await memory.recall("c", source.ask)

    assert (first, second, third, again, kept) == (1, 2, 3, 4, 3)


async def test_failure_is_not_remembered() -> None:
    source = _Source()
    memory = _memory(source)
    with pytest.raises(ConnectionError):
        await memory.recall("key", source.fail)

    assert await memory.recall("key", source.ask) == 1
