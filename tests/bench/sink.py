"""A sink that reads whole requests and answers: as little work as Python allows, in a process of its own.

    python -m tests.bench.sink '{"delay_s": 0.05}'

It prints the port that it listens on, and serves until its standard input closes.
"""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from subprocess import PIPE, Popen
from typing import cast

import orjson
import uvloop

REJECTED_EVERY = 10

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length: "


@dataclass(frozen=True, slots=True)
class Terms:
    """How it answers: after `delay_s`, rejecting each tenth of so many rows."""

    delay_s: float = 0.0
    rejects_of: int = 0


class Sink(asyncio.Protocol):
    """One connection, one request after the other. Bodies are counted off and forgotten."""

    def __init__(self, answer: bytes, delay_s: float) -> None:
        self._answer = answer
        self._delay_s = delay_s
        self._head = b""
        self._left_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back; uvloop's transports are asyncio's in all but name."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Count."""
        if not self._left_bytes:
            self._head += data
            end = self._head.find(_HEAD_END)
            if end < 0:
                return
            data = self._head[end + len(_HEAD_END) :]
            self._left_bytes = _length(self._head[:end])
            self._head = b""
        self._left_bytes -= len(data)
        if not self._left_bytes:
            self._reply()

    def _reply(self) -> None:
        if self._delay_s:
            asyncio.get_running_loop().call_later(self._delay_s, self._write)
        else:
            self._write()

    def _write(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(self._answer)


@contextmanager
def open_sink(terms: Terms) -> Iterator[str]:
    """The address of a sink in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.sink", orjson.dumps(asdict(terms)).decode()]
    with Popen(command, stdin=PIPE, stdout=PIPE, text=True) as process:
        if process.stdout is None or process.stdin is None:
            raise RuntimeError("the sink has no pipes")
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}/rows"
        finally:
            process.stdin.close()


def answer_to_a_batch(rejects_of: int) -> bytes:
    """The response to every batch."""
    rejected = range(0, rejects_of, REJECTED_EVERY)
    body = orjson.dumps({"errors": [{"index": at, "code": "INVALID", "message": "bad row"} for at in rejected]})
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def serve(terms: Terms) -> None:
    """Listen on a free loopback port, print it, and serve until stdin closes."""
    whole = answer_to_a_batch(terms.rejects_of)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Sink(whole, terms.delay_s), "127.0.0.1", 0, backlog=4096)
    async with server:
        sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
        sys.stdout.flush()
        await loop.run_in_executor(None, sys.stdin.read)


def _length(head: bytes) -> int:
    lowered = head.lower()
    at = lowered.index(_LENGTH) + len(_LENGTH)
    return int(lowered[at:].split(b"\r\n", 1)[0])


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(Terms(**orjson.loads(sys.argv[1]))))
