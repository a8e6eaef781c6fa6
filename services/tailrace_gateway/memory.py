"""Answers from the outside that are remembered for a while: a form that asks again need not wait again."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from tailrace.core.clock import Clock

AnswerT = TypeVar("AnswerT")


class Memory(Generic[AnswerT]):
    """The newest answers, so many at most. Failures are not remembered."""

    def __init__(self, clock: Clock, *, for_s: float, most: int) -> None:
        self._clock = clock
        self._for_s = for_s
        self._most = most
        self._kept: OrderedDict[Hashable, tuple[float, AnswerT]] = OrderedDict()

    async def recall(self, key: Hashable, ask: Callable[[], Awaitable[AnswerT]]) -> AnswerT:
        """The answer that is remembered under the key, else what `ask` gives."""
        known = self._kept.get(key)
        if known is not None and known[0] > self._clock.monotonic():
            return known[1]
        answer = await ask()
        self._kept[key] = (self._clock.monotonic() + self._for_s, answer)
        self._kept.move_to_end(key)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return answer

    def forget(self, key: Hashable) -> None:
        """Ask again for what was remembered under the key."""
        self._kept.pop(key, None)
