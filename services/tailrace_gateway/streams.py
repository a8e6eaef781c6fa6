"""Server-sent events: bounded in number and in time, with a heartbeat, gone as soon as nobody listens."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import hdrs, web

from tailrace.core.errors import StoreUnavailable
from tailrace_gateway.problems import TooMany

STREAMS_PER_TOKEN = 5
STREAMS = 200
"""So many streams does a process keep open at once."""

STREAM_S = 600.0
HEARTBEAT_S = 15.0
LOOK_S = 1.0

_HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
_RETRY_MS = 2000


@dataclass(frozen=True, slots=True)
class Event:
    """One event; a client that comes back names the id of the last one that it got."""

    id: str
    name: str
    data: Mapping[str, Any]

    @property
    def text(self) -> bytes:
        """The event as it is sent."""
        return b"id: %s\nevent: %s\ndata: %s\n\n" % (self.id.encode(), self.name.encode(), orjson.dumps(self.data))


Events = AsyncIterator[Event | None]
"""What is to be sent; None where there is nothing new at a look."""


@dataclass(frozen=True, slots=True)
class Stream:
    """What a handler answers whose events come over time."""

    events: Callable[[], Events]


class Streams:
    """The open streams of a process."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()
        self._closing = asyncio.Event()

    @property
    def open_count(self) -> int:
        """How many are open."""
        return self._open.total()

    async def close(self, _app: web.Application) -> None:
        """Have every stream end at its next look; its client comes back to another process."""
        self._closing.set()

    async def send(self, request: web.Request, stream: Stream, token_id: str) -> web.StreamResponse:
        """Send the events until they end, nobody listens, or the time of a stream is over.

        :raises TooMany: the token, or the process, has as many open as it may.
        """
        with self._seat(token_id):
            response = web.StreamResponse(headers=_HEADERS)
            await response.prepare(request)
            if request.method == hdrs.METH_HEAD:
                return response
            try:
                async with asyncio.timeout(STREAM_S):
                    await self._send(request, response, stream)
            except (TimeoutError, ConnectionError, StoreUnavailable):
                pass
            return response

    async def _send(self, request: web.Request, response: web.StreamResponse, stream: Stream) -> None:
        await response.write(b"retry: %d\n\n" % _RETRY_MS)
        silent_s = 0.0
        async with aclosing(stream.events()) as events:  # type: ignore[type-var]  # they are generators
            async for event in events:
                silent_s = silent_s + LOOK_S if event is None else 0.0
                if event is not None:
                    await response.write(event.text)
                elif silent_s >= HEARTBEAT_S:
                    silent_s = 0.0
                    await response.write(b": still here\n\n")
                elif await self._is_over(request):
                    return

    async def _is_over(self, request: web.Request) -> bool:
        """Wait for the next look; whether there should be none."""
        try:
            async with asyncio.timeout(LOOK_S):
                await self._closing.wait()
        except TimeoutError:
            return request.transport is None or request.transport.is_closing()
        return True

    @contextmanager
    def _seat(self, token_id: str) -> Iterator[None]:
        if self._open[token_id] >= STREAMS_PER_TOKEN or self.open_count >= STREAMS:
            raise TooMany(f"a token may have {STREAMS_PER_TOKEN} streams open at once: close one, or come back later")
        self._open[token_id] += 1
        try:
            yield
        finally:
            self._open[token_id] -= 1
            if not self._open[token_id]:
                del self._open[token_id]
