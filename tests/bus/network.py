"""A network between this process and one server that can be cut, be slow, or swallow every byte."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

_CHUNK_BYTES = 64 * 1024


class Network:
    """Connections of this event loop to `host:port` go through here, whoever makes them."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self.delay_s = 0.0
        """How late every piece comes, in either direction."""
        self._is_cut = False
        self._flows = asyncio.Event()
        self._flows.set()
        self._links: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None] | None] = set()

    @classmethod
    @asynccontextmanager
    async def around(cls, server: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator["Network"]:
        host, _, port = server.partition(":")
        network = cls(host, int(port))
        listener = await asyncio.start_server(network._link, "127.0.0.1", 0)
        entrance = listener.sockets[0].getsockname()[:2]
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "create_connection", network._reroute(loop.create_connection, entrance))
        try:
            yield network
        finally:
            network._flows.set()
            network.cut()
            listener.close()
            await listener.wait_closed()
            await asyncio.gather(*(task for task in network._serving if task))

    def cut(self) -> None:
        """Break every connection and refuse new ones, as a host does whose server is gone."""
        self._is_cut = True
        for link in self._links:
            link.transport.abort()

    def mend(self) -> None:
        """Let everything through again."""
        self._is_cut = False
        self._flows.set()

    def swallow(self) -> None:
        """Keep connections open, take new ones, and let nothing through: no answer, no error."""
        self._flows.clear()

    def _reroute(
        self, connect: Callable[..., Awaitable[object]], entrance: tuple[str, int]
    ) -> Callable[..., Awaitable[object]]:
        async def create_connection(
            factory: object, host: object = None, port: object = None, **options: object
        ) -> object:
            if (host, port) != self._server:
                return await connect(factory, host, port, **options)
            if self._is_cut:
                raise ConnectionRefusedError(111, f"nobody listens at {host}:{port}")
            return await connect(factory, *entrance, **options)

        return create_connection

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._serving.add(task)
        ends = {writer}
        try:
            with suppress(OSError):
                far_reader, far_writer = await self._reach_server()
                ends.add(far_writer)
                self._links |= ends
                if not self._is_cut:
                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(self._pump(reader, far_writer))
                        tasks.create_task(self._pump(far_reader, writer))
        finally:
            self._links -= ends
            for end in ends:
                end.transport.abort()
            await asyncio.gather(*(end.wait_closed() for end in ends), return_exceptions=True)
            self._serving.discard(task)

    async def _reach_server(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """By a socket of one's own, for this loop's way to the server leads here."""
        peer = socket.socket()
        peer.settimeout(0)
        try:
            await asyncio.get_running_loop().sock_connect(peer, self._server)
            return await asyncio.open_connection(sock=peer)
        except BaseException:
            peer.close()
            raise

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK_BYTES):
                await self._flows.wait()
                await asyncio.sleep(self.delay_s)
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
