"""The text of a COPY on its way from a socket to blocks: no more of it is held than a block needs."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import NamedTuple, Protocol, Self, TypeAlias

from tailrace.core.waits import side_by_side

BLOCK_BYTES = 4 << 20
"""What the text of a block may come to, roughly."""


class Sink(Protocol):
    """Takes data of a COPY."""

    def __call__(self, data: bytes, rows: int | None = None, /) -> Coroutine[object, object, None]:
        """Take some; `rows` where it is known to be so many whole lines."""
        ...


Copy: TypeAlias = Callable[[Sink], Awaitable[object]]
"""Gives all data of a COPY to a sink, waiting for it each time."""


class Silent(Exception):
    """Nothing came for as long as may be waited."""


class CopyStream:
    """Takes data of a COPY as it comes, and gives whole lines. Whoever sends waits until what came before was taken."""

    def __init__(self, rows_per_block: int, first_rows: int, *, ahead_bytes: int = 0) -> None:
        """So much of what was sent may wait, and a single piece of any size."""
        self._rows_per_block = rows_per_block
        self._wanted = min(first_rows, rows_per_block)
        self._ahead_bytes = ahead_bytes
        self._waiting_bytes = 0
        self._waiting: deque[tuple[bytes, int | None]] = deque()
        self._came, self._was_taken = asyncio.Event(), asyncio.Event()
        self._pieces: deque[_Piece] = deque()
        self._rows = self._size_bytes = 0
        self._rest = b""
        self._is_filled = self._is_over = False
        self._failure: Exception | None = None
        self._copying: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def filled(self, copy: Copy, expected: tuple[type[Exception], ...]) -> AsyncIterator[Self]:
        """Run a COPY into this stream until the scope is left; an expected failure is raised to who reads."""
        async with side_by_side() as tasks:
            self._copying = tasks.create_task(self._fill(copy, expected))
            try:
                yield self
            finally:
                self._copying.cancel()

    async def stop(self) -> None:
        """Cancel the COPY; it is over once the server has agreed."""
        if self._copying is not None:
            self._copying.cancel()
            await asyncio.wait({self._copying})

    async def text(self, *, wait_s: float) -> bytes:
        """The lines of the next block, without the end of the last; nothing at the end.

        :raises Silent: nothing came for so long.
        """
        while not self._is_over and self._rows < self._wanted and self._size_bytes < BLOCK_BYTES:
            try:
                async with asyncio.timeout(wait_s):
                    chunk = await self._next()
            except TimeoutError as error:
                raise Silent from error
            if chunk is None:
                self._is_over = True
                if self._failure is not None:
                    raise self._failure
            else:
                self._add(*chunk)
        self._wanted = self._rows_per_block
        taken = self._taken()
        return b"".join([*taken[:-1], taken[-1][:-1]]) if taken else b""

    async def _fill(self, copy: Copy, expected: tuple[type[Exception], ...]) -> None:
        try:
            await copy(self._take)
        except expected as error:
            self._failure = error
        self._is_filled = True
        self._came.set()

    async def _take(self, data: bytes, rows: int | None = None) -> None:
        # The driver gives a view of its buffer or a bytearray, whose parts are slow.
        chunk = bytes(data)
        while self._waiting_bytes and self._waiting_bytes + len(chunk) > self._ahead_bytes:
            self._was_taken.clear()
            await self._was_taken.wait()
        self._waiting_bytes += len(chunk)
        self._waiting.append((chunk, rows))
        self._came.set()

    async def _next(self) -> tuple[bytes, int | None] | None:
        """What came next, and how many lines it is if that is known; None behind the last."""
        while not self._waiting:
            if self._is_filled:
                return None
            self._came.clear()
            await self._came.wait()
        chunk, rows = self._waiting.popleft()
        self._waiting_bytes -= len(chunk)
        self._was_taken.set()
        return chunk, rows

    def _add(self, chunk: bytes, rows: int | None) -> None:
        if rows is not None:
            self._hold(chunk, rows)
            return
        end = chunk.rfind(b"\n") + 1
        if end:
            text = self._rest + chunk[:end]
            self._hold(text, text.count(b"\n"))
            self._rest = chunk[end:]
        else:
            self._rest += chunk

    def _hold(self, text: bytes, rows: int) -> None:
        self._pieces.append(_Piece(text, rows))
        self._rows += rows
        self._size_bytes += len(text)

    def _taken(self) -> list[bytes]:
        """As many pieces as fit into a block; of one that is too large alone, so many lines."""
        taken: list[bytes] = []
        left = self._rows_per_block
        if self._pieces and self._pieces[0].rows > left:
            self._part_first(left)
        while self._pieces and self._pieces[0].rows <= left:
            text, rows = self._pieces.popleft()
            self._rows -= rows
            self._size_bytes -= len(text)
            left -= rows
            taken.append(text)
        return taken

    def _part_first(self, rows: int) -> None:
        """Part the first piece: at a line's end near where so many lines should end, behind so many at most."""
        text, whole = self._pieces.popleft()
        end = text.rfind(b"\n", 0, len(text) * rows // whole) + 1
        taken = text.count(b"\n", 0, end)
        if not 0 < taken <= rows:
            end, taken = len(text) - len(text.split(b"\n", rows)[-1]), rows
        self._pieces.appendleft(_Piece(text[end:], whole - taken))
        self._pieces.appendleft(_Piece(text[:end], taken))


class _Piece(NamedTuple):
    text: bytes
    rows: int
