"""Requests that no client library sends: smuggled, endless, broken, and thousands at once."""

import asyncio
import gzip
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import pytest
import pytest_asyncio

from tests.gateway.caller import Caller
from tests.gateway.conftest import Gateway
from tests.gateway.served import served

pytestmark = pytest.mark.timeout(180)

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
_QUIET_S = 0.5
_WAIT_S = 50.0
_TOKEN = b"TOKEN"
_GET = b"GET /api/sources HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer TOKEN\r\n"
_POST = b"POST /api/sources HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer TOKEN\r\n"
_SMUGGLED = b"GET /api/audit HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer TOKEN\r\n\r\n"
_CHUNKED = b"Transfer-Encoding: chunked\r\n"

# What two readers could take for requests of different lengths: refused at once, whatever hides behind.
SMUGGLED: dict[str, bytes] = {
    "CL and TE": _POST + b"Content-Length: 4\r\n" + _CHUNKED + b"\r\n0\r\n\r\n" + _SMUGGLED,
    "TE and CL": _POST + _CHUNKED + b"Content-Length: 4\r\n\r\n5c\r\n" + _SMUGGLED,
    "two CL that differ": _POST + b"Content-Length: 0\r\nContent-Length: 90\r\n\r\n" + _SMUGGLED,
    "two CL that agree": _POST + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n" + _SMUGGLED,
    "CL list": _POST + b"Content-Length: 0, 0\r\n\r\n" + _SMUGGLED,
    "CL with a sign": _POST + b"Content-Length: +0\r\n\r\n" + _SMUGGLED,
    "CL below zero": _POST + b"Content-Length: -1\r\n\r\n" + _SMUGGLED,
    "CL in hex": _POST + b"Content-Length: 0x0\r\n\r\n" + _SMUGGLED,
    "CL with an underscore": _POST + b"Content-Length: 1_0\r\n\r\n" + _SMUGGLED,
    "CL of nothing": _POST + b"Content-Length: \r\n\r\n" + _SMUGGLED,
    "CL in other digits": _POST + "Content-Length: \u0661\r\n\r\n".encode() + _SMUGGLED,
    "CL that overflows": _POST + b"Content-Length: 18446744073709551616\r\n\r\n" + _SMUGGLED,
    "TE unknown": _POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + _SMUGGLED,
    "TE identity": _POST + b"Transfer-Encoding: identity\r\n\r\n" + _SMUGGLED,
    "TE chunked twice": _POST + _CHUNKED + _CHUNKED + b"\r\n0\r\n\r\n" + _SMUGGLED,
    "TE not chunked last": _POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n" + _SMUGGLED,
    "TE with a space before the colon": _POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + _SMUGGLED,
    "TE with a vertical tab": _POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + _SMUGGLED,
    "TE folded": _POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + _SMUGGLED,
    "TE in HTTP/1.0": _POST.replace(b"1.1", b"1.0") + _CHUNKED + b"\r\n0\r\n\r\n" + _SMUGGLED,
    "chunk size with a sign": _POST + _CHUNKED + b"\r\n+0\r\n\r\n" + _SMUGGLED,
    "chunk size with 0x": _POST + _CHUNKED + b"\r\n0x0\r\n\r\n" + _SMUGGLED,
    "chunk size with an underscore": _POST + _CHUNKED + b"\r\n1_0\r\n\r\n" + _SMUGGLED,
    "chunk size below zero": _POST + _CHUNKED + b"\r\n-1\r\n\r\n" + _SMUGGLED,
    "chunk size that overflows": _POST + _CHUNKED + b"\r\nfffffffffffffffff\r\n\r\n" + _SMUGGLED,
    "chunk without its end": _POST + _CHUNKED + b"\r\n1\r\n{}0\r\n\r\n" + _SMUGGLED,
    "chunk ended by LF alone": _POST + _CHUNKED + b"\r\n2\n{}\n0\n\n" + _SMUGGLED,
    "chunk size of nothing": _POST + _CHUNKED + b"\r\n\r\n\r\n" + _SMUGGLED,
}
# What is no HTTP at all, or asks for what is not there.
BROKEN: dict[str, bytes] = {
    "no method": b" / HTTP/1.1\r\nHost: x\r\n\r\n",
    "no version": b"GET /api/sources\r\nHost: x\r\n\r\n",
    "version 0.9": b"GET /api/sources HTTP/0.9\r\nHost: x\r\n\r\n",
    "version 2 in clear": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "version 9": b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    "NUL in the path": b"GET /api/\x00sources HTTP/1.1\r\nHost: x\r\n\r\n",
    "NUL in a header": _GET + b"X-A: a\x00b\r\n\r\n",
    "CR in a header": _GET + b"X-A: a\rX-B: c\r\n\r\n",
    "LF alone": _GET.replace(b"\r\n", b"\n") + b"\n",
    "space in a header's name": _GET + b"X A: b\r\n\r\n",
    "header without a colon": _GET + b"nothing\r\n\r\n",
    "header without a name": _GET + b": b\r\n\r\n",
    "folded header": _GET + b"X-A: b\r\n c\r\n\r\n",
    "header of other letters": _GET + "Ä: b\r\n\r\n".encode(),
    "line too long": b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "line too long in pieces": b"GET /" + b"a/" * 50_000,
    "header too long": _GET + b"X-A: " + b"b" * 9000 + b"\r\n\r\n",
    "too many headers": _GET + b"".join(b"X-%d: b\r\n" % at for at in range(5000)) + b"\r\n",
    "path that goes up": b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    "path that goes up in the assets": b"GET /docs/..%2f..%2fapp HTTP/1.1\r\nHost: x\r\n\r\n",
    "path that is doubled": b"GET //api//sources HTTP/1.1\r\nHost: x\r\n\r\n",
    "absolute address": b"GET http://169.254.169.254/latest HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNECT": b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n",
    "TRACE": b"TRACE /api/sources HTTP/1.1\r\nHost: x\r\nX-Echo: canary\r\n\r\n",
    "OPTIONS of everything": b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    "method of its own": b"BREW /api/sources HTTP/1.1\r\nHost: x\r\n\r\n",
    "method that is overridden": _POST + b"X-HTTP-Method-Override: DELETE\r\nContent-Length: 2\r\n\r\n{}",
    "two tokens": _GET + b"Authorization: Bearer TOKEN\r\n\r\n",
    "token in another scheme": b"GET /api/sources HTTP/1.1\r\nHost: x\r\nAuthorization: Basic TOKEN\r\n\r\n",
    "body of a bomb": _POST
    + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(gzip.compress(bytes(10**6)))
    + gzip.compress(bytes(10**6)),
    "body of a deflated bomb": _POST + b"Content-Encoding: deflate\r\nContent-Length: 2\r\n\r\n{}",
    "chunks above the limit": _POST + _CHUNKED + b"\r\n" + (b"10000\r\n" + b"x" * 65_536 + b"\r\n") * 20 + b"0\r\n\r\n",
    "upgrade to nothing": _GET + b"Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
}

# Some of them another reader would take for a good request, so does ours; it only must not be two.
REFUSALS = {200, 400, 401, 404, 405, 413, 415, 422}
TELLING = (b"Traceback", b".py", b"canary", b"aiohttp", b"Python")


@dataclass(frozen=True, slots=True)
class Wire:
    """A connection to the gateway without a client library between."""

    port: int
    token: str

    async def send(self, raw: bytes, *, quiet_s: float = _QUIET_S) -> bytes:
        """What comes back until the gateway hangs up or falls silent for so long."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        async with asyncio.timeout(_WAIT_S):
            try:
                writer.write(raw.replace(_TOKEN, self.token.encode()))
                return await _all(reader, quiet_s)
            finally:
                writer.close()

    async def send_each(self, raws: Mapping[str, bytes]) -> dict[str, bytes]:
        """What comes back to each, all sent at once."""
        return dict(zip(raws, await asyncio.gather(*map(self.send, raws.values())), strict=True))


async def _all(reader: asyncio.StreamReader, quiet_s: float) -> bytes:
    """Everything until the end, or until nothing came for a while after something had."""
    said = b""
    while True:
        try:
            async with asyncio.timeout(quiet_s if said else _WAIT_S):
                piece = await reader.read(65_536)
        except (TimeoutError, ConnectionError):
            return said
        if not piece:
            return said
        said += piece


@pytest_asyncio.fixture
async def wire(gateway: Gateway, admin: Caller) -> AsyncIterator[Wire]:
    async with served(gateway) as port:
        yield Wire(port, admin.token)


def _statuses(said: bytes) -> Sequence[int]:
    return [int(status) for status in _STATUS.findall(said)]


async def test_nothing_is_smuggled(wire: Wire) -> None:
    answers = await wire.send_each(SMUGGLED)

    assert {name: _statuses(said) for name, said in answers.items() if set(_statuses(said)) - {400, 422}} == {}
    assert [name for name, said in answers.items() if b"audit_record" in said or b'"meta"' in said] == []


async def test_broken_requests_are_refused_in_a_sentence(wire: Wire) -> None:
    answers = await wire.send_each(BROKEN)

    assert {name: _statuses(said) for name, said in answers.items() if set(_statuses(said)) - REFUSALS} == {}
    assert [name for name, said in answers.items() if any(word in said for word in TELLING)] == []
    assert [name for name, said in answers.items() if said and b"X-Content-Type-Options: nosniff" not in said] == []
    assert _statuses(await wire.send(_GET + b"Connection: close\r\n\r\n")) == [200]


def test_there_are_sixty_of_them() -> None:
    assert len(SMUGGLED) + len(BROKEN) >= 60


async def test_pipelined_requests_are_answered_in_order(wire: Wire) -> None:
    pipelined = _GET + b"\r\n" + b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n" + _GET + b"Connection: close\r\n\r\n"

    said = await wire.send(pipelined, quiet_s=_WAIT_S)

    assert _statuses(said) == [200, 404, 200]


async def test_flood_of_pipelined_requests_keeps_nobody_waiting(wire: Wire) -> None:
    async with asyncio.TaskGroup() as tasks:
        flood = tasks.create_task(wire.send(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n" * 500))
        between = await wire.send(_GET + b"Connection: close\r\n\r\n")

    assert _statuses(between) == [200]
    assert set(_statuses(flood.result())) == {404}


async def test_slow_requests_keep_nobody_waiting(wire: Wire) -> None:
    slow = [await asyncio.open_connection("127.0.0.1", wire.port) for _ in range(300)]
    for _, writer in slow:
        writer.write(b"GET /api/sources HTTP/1.1\r\nHost: x\r\nX-")

    answered = await wire.send(_GET + b"Connection: close\r\n\r\n")

    for _, writer in slow:
        writer.close()
    assert _statuses(answered) == [200]


async def test_head_that_does_not_come_is_not_waited_for(gateway: Gateway) -> None:
    async with served(gateway, head_s=0.2) as port:
        wire = Wire(port, "")
        ended = [await wire.send(b"GET /api/sources HTTP/1.1\r\nX-"), await wire.send(b"")]

    assert ended == [b"", b""]


@pytest.mark.parametrize("origin", [b"https://evil.example", b"null"])
async def test_no_other_origin_may_read_answers(wire: Wire, origin: bytes) -> None:
    asked = await wire.send(_GET + b"Origin: " + origin + b"\r\nConnection: close\r\n\r\n")
    preflight = await wire.send(
        b"OPTIONS /api/sources HTTP/1.1\r\nHost: x\r\nOrigin: " + origin + b"\r\n"
        b"Access-Control-Request-Method: POST\r\nConnection: close\r\n\r\n"
    )

    assert b"access-control" not in (asked + preflight).lower()
    assert _statuses(preflight) == [405]


@pytest.mark.parametrize("host", [b"evil.example", b"127.0.0.1:1", b"a\tb", b"x@y", b"[::1", b""])
async def test_host_is_in_no_answer(wire: Wire, host: bytes) -> None:
    said = await wire.send(
        b"GET /v2/retl-connections/x/syncs HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n"
    )

    assert set(_statuses(said)) <= {400, 401}
    assert b"evil.example" not in said


async def test_unreadable_request_is_not_repeated_in_the_log(
    wire: Wire, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    said = await wire.send(b"GET /api/sources?key=c4nary" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")

    logged = capsys.readouterr()
    assert _statuses(said) == [400]
    assert "request.unreadable" in logged.out + logged.err
    assert "c4nary" not in said.decode() + logged.out + logged.err + caplog.text
