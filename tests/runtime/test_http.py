import asyncio
import gzip
import socket
import ssl
import traceback
from contextlib import suppress
from pathlib import Path

import pytest

from tailrace.connector_kit.fence import fenced
from tailrace.connector_kit.http import HttpRequest
from tailrace.core.errors import (
    AnswerTooLong,
    DestinationInvalid,
    DestinationUnavailable,
    InDoubt,
    LeaseLost,
    TailraceError,
)
from tailrace.runtime.http import AiohttpClient, HttpLimits
from tailrace.testing.eventually import eventually
from tests.runtime.certificates import self_signed
from tests.runtime.raw_server import HANG_UP, OK, SILENCE, raw_server

METHODS = ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "POST", "PATCH"]
SHORT = HttpLimits(connect_s=0.3, total_s=0.3)


async def send(
    url: str, *, method: str = "POST", allow_private: bool = True, limits: HttpLimits | None = None
) -> object:
    async with AiohttpClient.open(allow_private=allow_private, limits=limits) as client:
        return await client.send(HttpRequest(method, url, {"X-Key": "k"}, b"{}"))


async def test_request_and_answer_arrive_as_they_are() -> None:
    answer = b"HTTP/1.1 207 Multi\r\nX-Mixed-Case: Value\r\nContent-Length: 3\r\n\r\n\x00\xffz"
    headers = {"X-Key": "k", "Content-Type": "text/x"}
    async with raw_server(answer) as server, AiohttpClient.open(allow_private=True) as client:
        response = await client.send(HttpRequest("PATCH", f"{server.url}/a%2Fb?q=%20", headers, b"\x00\xff"))

    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"PATCH /a%2Fb?q=%20 HTTP/1.1\r\n")
    assert b"\r\nX-Key: k" in head
    assert b"\r\nContent-Type: text/x" in head
    assert body == b"\x00\xff"
    assert (response.status, response.headers["x-mixed-case"], response.body) == (207, "Value", b"\x00\xffz")


@pytest.mark.parametrize("method", METHODS)
async def test_request_is_never_sent_again_when_a_kept_connection_breaks(method: str) -> None:
    empty = OK.replace(b"2\r\n\r\nok", b"0\r\n\r\n")
    async with raw_server(empty, HANG_UP, OK) as server, AiohttpClient.open(allow_private=True) as client:
        await client.send(HttpRequest(method, f"{server.url}/1", {}, b""))

        with pytest.raises(InDoubt):
            await client.send(HttpRequest(method, f"{server.url}/2", {}, b""))

    assert [request.split()[1] for request in server.requests] == [b"/1", b"/2"]


async def test_connection_is_used_again() -> None:
    async with raw_server() as server, AiohttpClient.open(allow_private=True) as client:
        await client.send(HttpRequest("POST", server.url, {}, b"1"))
        await client.send(HttpRequest("POST", server.url, {}, b"2"))

    assert (len(server.requests), server.connections) == (2, 1)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_not_followed(status: int) -> None:
    async with raw_server() as elsewhere:
        answer = f"HTTP/1.1 {status} Away\r\nLocation: {elsewhere.url}/\r\nContent-Length: 0\r\n\r\n".encode()
        async with raw_server(answer) as server, AiohttpClient.open(allow_private=True) as client:
            response = await client.send(HttpRequest("POST", server.url, {"Authorization": "Bearer s"}, b"{}"))

    assert response.status == status
    assert elsewhere.connections == 0


async def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw_server() as proxy, raw_server() as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        await send(server.url)

    assert (proxy.connections, server.connections) == (0, 1)


async def test_cookies_of_one_destination_do_not_go_to_another() -> None:
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
    async with raw_server(answer) as server, AiohttpClient.open(allow_private=True) as client:
        await client.send(HttpRequest("POST", f"{server.url.replace('127.0.0.1', 'localhost')}/", {}, b""))
        await client.send(HttpRequest("POST", f"{server.url.replace('127.0.0.1', 'localhost')}/", {}, b""))

    assert b"cookie" not in server.requests[1].lower()


@pytest.mark.parametrize(
    "answer",
    [
        HANG_UP,
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n" + b"x" * 1_048_577,
    ],
)
async def test_answer_that_breaks_off_leaves_the_request_in_doubt(answer: bytes) -> None:
    async with raw_server(answer, SILENCE) as server:
        with pytest.raises(InDoubt):
            await send(server.url, limits=HttpLimits(total_s=1.0))

    assert len(server.requests) == 1


async def test_answer_of_a_mebibyte_is_read() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n" + b"x" * 1_048_576
    async with raw_server(answer) as server, AiohttpClient.open(allow_private=True) as client:
        response = await client.send(HttpRequest("POST", server.url, {}, b""))

    assert len(response.body) == 1_048_576


async def test_answer_is_as_large_as_the_request_takes_and_no_larger() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1500000\r\n\r\n" + b"x" * 1_500_000
    async with raw_server(answer, answer) as server, AiohttpClient.open(allow_private=True) as client:
        response = await client.send(HttpRequest("GET", server.url, takes_bytes=2_000_000))
        with pytest.raises(AnswerTooLong, match="longer than 1048576 bytes"):
            await client.send(HttpRequest("GET", server.url))

    assert len(response.body) == 1_500_000


async def test_compressed_answer_is_not_blown_up() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
    async with raw_server(head + bomb) as server, AiohttpClient.open(allow_private=True) as client:
        response = await client.send(HttpRequest("POST", server.url, {}, b""))

    assert response.body == bomb
    assert b"accept-encoding: identity" in server.requests[0].lower()


async def test_silence_after_the_request_leaves_it_in_doubt() -> None:
    async with raw_server(SILENCE) as server:
        with pytest.raises(InDoubt):
            await send(server.url, limits=SHORT)


async def test_slow_drip_ends_at_the_limit() -> None:
    async with raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx", SILENCE) as server:
        with pytest.raises(InDoubt):
            await send(server.url, limits=SHORT)


async def test_nobody_listening_means_that_nothing_was_sent() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        with pytest.raises(DestinationUnavailable):
            await send(f"http://127.0.0.1:{port}/")


async def test_name_that_does_not_exist_means_that_nothing_was_sent() -> None:
    with pytest.raises(DestinationUnavailable):
        await send("http://nowhere.invalid/")


async def test_handshake_that_never_ends_means_that_nothing_was_sent() -> None:
    async with raw_server(SILENCE) as server:
        with pytest.raises(DestinationUnavailable):
            await send(server.url.replace("http:", "https:"), limits=SHORT)

    assert server.requests == []


async def test_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with asyncio.TaskGroup() as tasks:
            received = tasks.create_task(asyncio.to_thread(_receive_by_tls, listener, self_signed(tmp_path)))

            with pytest.raises(DestinationInvalid, match="certificate"):
                await send(f"https://127.0.0.1:{listener.getsockname()[1]}/")

    assert received.result() == b""


def _receive_by_tls(listener: socket.socket, context: ssl.SSLContext) -> bytes:
    listener.settimeout(10)
    connection = listener.accept()[0]
    with connection, suppress(OSError), context.wrap_socket(connection, server_side=True) as secured:
        return secured.recv(1)
    return b""


async def test_cancelled_request_closes_its_connection() -> None:
    async with raw_server(SILENCE) as server, AiohttpClient.open(allow_private=True) as client:
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(client.send(HttpRequest("POST", server.url, {}, b"{}")))
            await eventually(server.count_requests, 1)

            sending.cancel()

        await eventually(server.count_open, 0)


async def test_large_body_arrives_whole() -> None:
    body = b"x" * 5_000_000
    async with raw_server() as server, AiohttpClient.open(allow_private=True) as client:
        await client.send(HttpRequest("POST", server.url, {}, body))

    assert server.requests[0].partition(b"\r\n\r\n")[2] == body


@pytest.mark.parametrize(
    "url",
    [
        "canary",
        "http://",
        "https://",
        "ftp://example.com/canary",
        "file:///etc/canary",
        "unix:///run/canary.sock",
        "https://user:canary@example.com/",
        "https://canary@example.com/",
        "https://exa mple.com/canary",
        "https://[::1/canary",
        "https://example.com:99999/canary",
        "https:///canary",
        "javascript:canary",
        "https://a..b/canary",
        "https://./canary",
        "https://xn--/canary",
        "https://xn--a/canary",
        "https://256.256.256.256/canary",
        f"https://{'a' * 64}.com/canary",
    ],
)
async def test_address_that_is_none_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(DestinationInvalid) as refused:
        await send(url)

    assert "canary" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize(
    ("method", "headers"),
    [("GE T", {}), ("PUT", {"a": "canary\r\nX-Injected: 1"}), ("PUT", {"a": "\0canary"})],
)
async def test_request_that_would_become_another_is_not_sent(method: str, headers: dict[str, str]) -> None:
    async with raw_server() as server, AiohttpClient.open(allow_private=True) as client:
        with pytest.raises((DestinationInvalid, InDoubt)) as refused:
            await client.send(HttpRequest(method, server.url, headers, b""))

    assert server.requests == []
    assert "canary" not in "".join(traceback.format_exception(refused.value))


async def test_plain_http_is_refused_where_private_addresses_are() -> None:
    with pytest.raises(DestinationInvalid, match="https://"):
        await send("http://example.com/", allow_private=False)


HOSTS = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "017700000001",
    "127.0.0.1.",
    "\uff11\uff12\uff17.\uff10.\uff10.\uff11",
    "\u2460\u2461\u2466.0.0.1",
    "127\u30020\u30020\u30021",
    "0",
    "0.0.0.0",
    "0x0",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[::1%25lo]",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "ip6-localhost",
]


@pytest.mark.parametrize("host", HOSTS)
async def test_no_way_to_write_this_machine_reaches_it(host: str) -> None:
    async with raw_server() as canary:
        with pytest.raises(TailraceError):
            await send(f"https://{host}:{canary.port}/", allow_private=False, limits=SHORT)

    assert canary.connections == 0


async def test_the_canary_would_have_been_reached() -> None:
    async with raw_server() as canary:
        with pytest.raises(TailraceError):
            await send(f"https://localhost:{canary.port}/", allow_private=True, limits=SHORT)

    assert canary.connections == 1


async def test_request_that_may_not_leave_any_more_does_not() -> None:
    async with raw_server() as server, AiohttpClient.open(allow_private=True) as client:
        await client.send(HttpRequest("POST", server.url, {}, b"1"))
        with pytest.raises(LeaseLost), fenced(_lease_is_lost):
            await client.send(HttpRequest("POST", server.url, {}, b"2"))
        with pytest.raises(LeaseLost), fenced(_lease_is_lost):
            await client.send(HttpRequest("GET", server.url, {}))
        await client.send(HttpRequest("POST", server.url, {}, b"3"))

    assert [request[-1:] for request in server.requests] == [b"1", b"3"]


def _lease_is_lost() -> None:
    raise LeaseLost("too late")
