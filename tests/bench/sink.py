"""A sink that reads whole requests and answers: as little work as Python allows, in a process of its own.

    python -m tests.bench.sink '{"delay_s": 0.05}'

It prints the port that it listens on, serves until its standard input closes, and prints what came in.
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
_ONE_A_ROW = b"@example.com"
_SEAM = len(_ONE_A_ROW) - 1


@dataclass(frozen=True, slots=True)
class Terms:
    """How it answers: after `delay_s`, rejecting each tenth of so many rows."""

    delay_s: float = 0.0
    rejects_of: int = 0


@dataclass(slots=True)
class Received:
    """What came in; a row is told by its e-mail address."""

    requests: int = 0
    rows: int = 0


class OpenSink:
    """A sink at work."""

    def __init__(self, process: "Popen[str]", url: str) -> None:
        self.url = url
        self._process = process
        self._received: Received | None = None

    def close(self) -> Received:
        """End it; gives what it received. May be called twice."""
        if self._received is None:
            told, _ = self._process.communicate()
            self._received = Received(**orjson.loads(told))
        return self._received


class Sink(asyncio.Protocol):
    """One connection, one request after the other. Bodies are counted off, their rows too, and forgotten."""

    def __init__(self, terms: Terms, received: Received) -> None:
        self._answer = answer_to_a_batch(terms.rejects_of)
        self._delay_s = terms.delay_s
        self._received = received
        self._head = b""
        self._last = b""
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
        self._count(data)
        if not self._left_bytes:
            self._received.requests += 1
            self._reply()

    def _count(self, data: bytes) -> None:
        """Also what lies across two pieces."""
        seam = self._last + data[:_SEAM]
        self._received.rows += data.count(_ONE_A_ROW) + seam.count(_ONE_A_ROW)
        self._last = (seam if len(data) < _SEAM else data)[-_SEAM:]

    def _reply(self) -> None:
        if self._delay_s:
            asyncio.get_running_loop().call_later(self._delay_s, self._write)
        else:
            self._write()

    def _write(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(self._answer)


@contextmanager
def open_sink(terms: Terms) -> Iterator[OpenSink]:
    """A sink in a process of its own, for as long as the scope lasts."""
    command = [sys.executable, "-m", "tests.bench.sink", orjson.dumps(asdict(terms)).decode()]
    with Popen(command, stdin=PIPE, stdout=PIPE, text=True) as process:
        if process.stdout is None or process.stdin is None:
            raise RuntimeError("the sink has no pipes")
        sink = OpenSink(process, f"http://127.0.0.1:{process.stdout.readline().strip()}/rows")
        try:
            yield sink
        finally:
            sink.close()


def answer_to_a_batch(rejects_of: int) -> bytes:
    """The response to every batch."""
    rejected = range(0, rejects_of, REJECTED_EVERY)
    body = orjson.dumps({"errors": [{"index": at, "code": "INVALID", "message": "bad row"} for at in rejected]})
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def serve(terms: Terms) -> Received:
    """Listen on a free loopback port, print it, and serve until stdin closes."""
    received = Received()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Sink(terms, received), "127.0.0.1", 0, backlog=4096)
    async with server:
        sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
        sys.stdout.flush()
        await loop.run_in_executor(None, sys.stdin.read)
    return received


def _length(head: bytes) -> int:
    lowered = head.lower()
    at = lowered.index(_LENGTH) + len(_LENGTH)
    return int(lowered[at:].split(b"\r\n", 1)[0])


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        received = runner.run(serve(Terms(**orjson.loads(sys.argv[1]))))
    sys.stdout.write(orjson.dumps(asdict(received)).decode())
