"""Requests to a warehouse that speaks HTTP: sent again for as long as that may help, and read once."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from tailrace.connector_kit.answers import retry_after_s
from tailrace.connector_kit.http import HttpResponse
from tailrace.core.clock import Clock
from tailrace.core.errors import (
    AnswerTooLong,
    DestinationInvalid,
    DestinationUnavailable,
    InDoubt,
    SourceInvalid,
    SourceUnavailable,
    Throttled,
)

ANSWER_BYTES = 64 << 20
"""What is taken of an answer."""

_IN_THREAD_BYTES = 256 << 10


@dataclass(frozen=True, slots=True)
class Patience:
    """The pauses before a request is sent again, none longer than `longest_s` whatever an answer asks for."""

    vendor: str
    clock: Clock
    pauses_s: Sequence[float]
    longest_s: float

    async def answer(
        self,
        send: Callable[[], Awaitable[HttpResponse]],
        *,
        may_pass: Callable[[HttpResponse], bool],
        is_repeatable: bool = True,
    ) -> HttpResponse:
        """The answer: the first that will not pass by itself, or the last.

        A request that is not repeatable is sent again only where it cannot have arrived, or was answered.

        :raises SourceInvalid: it cannot be sent, or its answer is too long.
        :raises SourceUnavailable: no answer came.
        """
        for pause_s in self.pauses_s:
            try:
                response = await self._sent(send)
            except _LostError as lost:
                if lost.may_have_arrived and not is_repeatable:
                    raise
                told_s = lost.retry_after_s
            else:
                if not may_pass(response):
                    return response
                told_s = retry_after_s(response, now=self.clock.now())
            await self.clock.sleep(min(self.longest_s, max(pause_s, told_s or 0.0)))
        return await self._sent(send)

    async def document(self, response: HttpResponse) -> Any:  # noqa: ANN401 - foreign JSON
        """What an answer holds, parsed in a thread where that takes a while."""
        is_large = len(response.body) > _IN_THREAD_BYTES
        try:
            return await asyncio.to_thread(orjson.loads, response.body) if is_large else orjson.loads(response.body)
        except orjson.JSONDecodeError:
            raise SourceUnavailable(f"an answer of {self.vendor} is no JSON") from None

    async def _sent(self, send: Callable[[], Awaitable[HttpResponse]]) -> HttpResponse:
        try:
            return await send()
        except DestinationInvalid as error:
            told = error.message.replace("destination", "warehouse")
            raise SourceInvalid(f"{self.vendor} cannot be reached: {told}") from None
        except AnswerTooLong:
            told = f"a part of the result is longer than {ANSWER_BYTES >> 20} MiB: leave columns out, or shorten them"
            raise SourceInvalid(told, code="SOURCE_QUERY") from None
        except InDoubt as error:
            raise _LostError(f"an answer of {self.vendor} is lost: {error.message}", may_have_arrived=True) from None
        except DestinationUnavailable as error:
            told_s = error.retry_after_s if isinstance(error, Throttled) else None
            raise _LostError(f"{self.vendor} does not answer: {error.message}", retry_after_s=told_s) from None


class _LostError(SourceUnavailable):
    """No answer came."""

    def __init__(self, message: str, *, may_have_arrived: bool = False, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.may_have_arrived = may_have_arrived
        self.retry_after_s = retry_after_s
