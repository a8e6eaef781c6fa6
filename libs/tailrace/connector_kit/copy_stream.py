"""The text of a COPY on its way from a socket to blocks: no more of it is held than a block needs."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Self, TypeAlias

from tailrace.core.waits import side_by_side

BLOCK_BYTES = 4 << 20
"""What the text of a block may come to, roughly."""

Sink: TypeAlias = Callable[[bytes], Coroutine[object, object, None]]
Copy: TypeAlias = Callable[[Sink], Awaitable[object]]
"""Gives all data of a COPY to a sink, waiting for it each time."""


class Silent(Exception):
    """Nothing came for as long as may be waited."""


class CopyStream:
    """Takes data of a COPY as it comes, and gives whole lines. Whoever sends waits until what came before was taken."""

    def __init__(self, rows_per_block: int, first_rows: int) -> None:
        self._rows_per_block = rows_per_block
        self._wanted = min(first_rows, rows_per_block)
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue(1)
        self._pieces: deque[bytes] = deque()
        self._rows = self._size_bytes = 0
        self._rest = b""
        self._is_over = False
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
                    chunk = await self._chunks.get()
            except TimeoutError as error:
                raise Silent from error
            if chunk is None:
                self._is_over = True
                if self._failure is not None:
                    raise self._failure
            else:
                self._add(chunk)
        self._wanted = self._rows_per_block
        return b"".join(self._taken())[:-1]

    async def _fill(self, copy: Copy, expected: tuple[type[Exception], ...]) -> None:
        try:
            await copy(self._take)
        except expected as error:
            self._failure = error
        await self._chunks.put(None)

    async def _take(self, data: bytes) -> None:
        # The driver gives a view of its buffer or a bytearray, whose parts are slow.
        await self._chunks.put(bytes(data))

    def _add(self, chunk: bytes) -> None:
        end = chunk.rfind(b"\n") + 1
        if end:
            self._hold(self._rest + chunk[:end] if self._rest else chunk[:end])
            self._rest = chunk[end:]
        else:
            self._rest += chunk

    def _hold(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._rows += piece.count(b"\n")
        self._size_bytes += len(piece)

    def _taken(self) -> Iterator[bytes]:
        """As many pieces as fit into a block; of one that is too large alone, so many lines."""
        left = self._rows_per_block
        while self._pieces and self._pieces[0].count(b"\n") <= left:
            piece = self._pieces.popleft()
            left -= self._let_go(piece)
            yield piece
        if self._pieces and left == self._rows_per_block:
            *lines, rest = self._pieces.popleft().split(b"\n", left)
            self._pieces.appendleft(rest)
            piece = b"\n".join(lines) + b"\n"
            self._let_go(piece)
            yield piece

    def _let_go(self, piece: bytes) -> int:
        rows = piece.count(b"\n")
        self._rows -= rows
        self._size_bytes -= len(piece)
        return rows
