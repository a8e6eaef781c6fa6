"""A way to PostgreSQL that breaks while a transaction commits, before the server hears of it or after."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

from tailrace.embedded.ports import LOOPBACK

_COMMIT = b"Q\x00\x00\x00\x0cCOMMIT;\x00"
_PIECE_BYTES = 65_536


class Cut(StrEnum):
    """When the connection breaks."""

    UNHEARD = "before the server has the COMMIT"
    UNTOLD = "after the server has committed, before its answer"


@dataclass(slots=True)
class Proxy:
    """Every `each`th commit from now on is cut, by turns in either way; 0 cuts none."""

    target: tuple[str, int]
    each: int = 0
    commits: int = 0
    cuts: list[Cut] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection for as long as it lasts."""
        with ExitStack() as ends:
            ends.callback(writer.transport.abort)
            ends.enter_context(suppress(OSError))
            there, to_server = await asyncio.open_connection(*self.target)
            ends.callback(to_server.transport.abort)
            async with asyncio.TaskGroup() as tasks:
                answers = tasks.create_task(_carry(there, writer))
                last = await self._carry_to_cut(reader, to_server)
                answers.cancel()
                await asyncio.wait({answers})
            if last:
                to_server.write(last)
                await there.read(1)

    async def _carry_to_cut(self, reader: asyncio.StreamReader, to_server: asyncio.StreamWriter) -> bytes:
        """Carry what the client says up to a commit that is cut; gives what only the server shall hear."""
        with suppress(OSError):
            while piece := await reader.read(_PIECE_BYTES):
                cut = self._due() if piece == _COMMIT else None
                if cut is not None:
                    return piece if cut is Cut.UNTOLD else b""
                to_server.write(piece)
                await to_server.drain()
        return b""

    def _due(self) -> Cut | None:
        self.commits += 1
        if not self.each or self.commits % self.each:
            return None
        self.cuts.append([*Cut][len(self.cuts) % len(Cut)])
        return self.cuts[-1]


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(_PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
    writer.transport.abort()


@asynccontextmanager
async def open_proxy(url: str) -> AsyncIterator[tuple[Proxy, str]]:
    """A proxy before the server of that address, and its own address."""
    parts = urlsplit(url)
    proxy = Proxy((parts.hostname or LOOPBACK, parts.port or 5432))
    server = await asyncio.start_server(proxy.serve, LOOPBACK, 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        netloc = f"{parts.netloc.rpartition('@')[0]}@{LOOPBACK}:{port}"
        yield proxy, parts._replace(netloc=netloc).geturl()
