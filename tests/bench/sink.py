"""A sink that reads whole requests and answers at once: as little work as Python allows, in a process of its own."""

import asyncio
import sys

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length: "
REJECTED_EVERY = 10
ROWS_PER_BATCH = 500


class Sink(asyncio.Protocol):
    """One connection. Bodies are counted off and forgotten."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (size := self._request_bytes()) and size <= len(self._buffer):
            del self._buffer[:size]
            if isinstance(self._transport, asyncio.WriteTransport):
                self._transport.write(self._answer)

    def _request_bytes(self) -> int:
        end = self._buffer.find(_HEAD_END)
        if end < 0:
            return 0
        head = bytes(self._buffer[:end]).lower()
        at = head.index(_LENGTH) + len(_LENGTH)
        return end + len(_HEAD_END) + int(head[at:].split(b"\r\n", 1)[0])


def answer(*, is_picky: bool) -> bytes:
    """The response to every batch; a picky sink rejects every tenth row of a full one."""
    rejected = range(0, ROWS_PER_BATCH, REJECTED_EVERY) if is_picky else range(0)
    errors = ",".join(f'{{"index":{at},"code":"INVALID","message":"bad row"}}' for at in rejected)
    body = f'{{"errors":[{errors}]}}'.encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def serve(*, is_picky: bool) -> None:
    """Listen on a free loopback port, print it, and serve until stdin closes."""
    whole = answer(is_picky=is_picky)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Sink(whole), "127.0.0.1", 0)
    async with server:
        sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
        sys.stdout.flush()
        await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(is_picky="picky" in sys.argv))
