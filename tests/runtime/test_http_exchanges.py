import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress

from tailrace.connector_kit.http import HttpRequest
from tailrace.runtime.http import AiohttpClient
from tests.runtime.raw_server import OK, raw_server


async def test_answer_that_comes_before_all_was_sent_is_taken_and_ends_the_connection() -> None:
    busy = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"
    async with _answering_at_once(busy) as server, AiohttpClient.open(allow_private=True) as client:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"

        async with asyncio.timeout(30):
            answers = [await client.send(HttpRequest("POST", url, {}, b"x" * 30_000_000)) for _ in range(2)]

    assert [answer.status for answer in answers] == [413, 413]


@asynccontextmanager
async def _answering_at_once(answer: bytes) -> AsyncIterator[asyncio.Server]:
    """A server that reads nothing but heads."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends.callback(writer.transport.abort)
        with suppress(OSError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await finished.wait()

    finished = asyncio.Event()
    with ExitStack() as ends:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            yield server
            finished.set()


async def test_what_a_server_says_in_advance_is_passed_over() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"
    async with raw_server(hints + OK) as server, AiohttpClient.open(allow_private=True) as client:
        response = await client.send(HttpRequest("POST", server.url, {}, b"{}"))

    assert (response.status, response.body) == (200, b"ok")


async def test_header_of_a_request_stands_in_place_of_our_own() -> None:
    async with raw_server() as server, AiohttpClient.open(allow_private=True) as client:
        await client.send(HttpRequest("POST", server.url, {"user-agent": "other", "accept": "text/x"}, b"{}"))

    names = [line.partition(b":")[0] for line in server.requests[0].lower().split(b"\r\n")]
    assert (names.count(b"user-agent"), names.count(b"accept"), names.count(b"content-type")) == (1, 1, 1)
    assert b"\r\nuser-agent: other\r\n" in server.requests[0].lower()


async def test_answer_that_nobody_asked_for_is_not_that_of_the_next_request() -> None:
    async with _saying_more() as (server, more), AiohttpClient.open(allow_private=True) as client:
        request = HttpRequest("POST", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", {}, b"{}")
        first = await client.send(request)
        more.set()
        await asyncio.sleep(0.1)

        second = await client.send(request)

    assert (first.body, second.body) == (b"1", b"2")


@asynccontextmanager
async def _saying_more() -> AsyncIterator[tuple[asyncio.Server, asyncio.Event]]:
    """A server that numbers its answers, and behind the first says more once it is told to."""
    numbers, more = iter((b"1", b"2", b"3")), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends.callback(writer.transport.abort)
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"{}")
            writer.write(_numbered(next(numbers)))
            await more.wait()
            writer.write(_numbered(b"?"))
            await reader.readuntil(b"{}")
            writer.write(_numbered(next(numbers)))

    with ExitStack() as ends:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            yield server, more


def _numbered(number: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + number
