"""The HTTP client of a process: kept-alive connections, no surprises.

It sends every request exactly once, follows no redirect, reads no proxy from the environment, and looks at the very
address that it is about to connect to: a guard in the resolver would not see addresses written as numbers.

Connections, their pool and the parser of answers are aiohttp's. Its session is left out: it costs more than all the
rest, for redirects, cookies, proxies and repeats that nobody wants here.
"""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from http import HTTPStatus
from typing import Self

from aiohttp import (
    BaseConnector,
    ClientConnectorCertificateError,
    ClientConnectorError,
    ClientError,
    ClientRequest,
    ClientTimeout,
    TCPConnector,
)
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, StreamWriter
from multidict import CIMultiDict
from yarl import URL

from tailrace.connector_kit.fence import pass_fence
from tailrace.connector_kit.http import HttpClient, HttpRequest, HttpResponse
from tailrace.core.errors import AnswerTooLong, DestinationInvalid, DestinationUnavailable, InDoubt
from tailrace.core.time_limit import TimeLimit
from tailrace.core.waits import side_by_side
from tailrace.observe.failpoints import failpoint
from tailrace.runtime.addresses import AddressForbidden, guarded_socket

_HOST = re.compile(r"[\w.:%-]+")
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "Tailrace"}
_ONE_GO_BYTES = 1_048_576
_PIECE_BYTES = 65_536
_STALE_AT_MOST = 200
_WAYS_KEPT = 1024


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Bounds of one request, and of the connections of the process, where 0 is no bound."""

    connect_s: float = 10.0
    total_s: float = 60.0
    response_bytes: int = 1_048_576
    connections: int = 1000
    connections_per_host: int = 100
    keep_alive_s: float = 15.0
    dns_s: int = 60


@dataclass(frozen=True, slots=True)
class _Way:
    """What requests of one method to one address have in common; connections are opened for `opening`."""

    opening: ClientRequest
    line: str
    host: str


@dataclass(slots=True)
class _Progress:
    is_sending: bool = False


class AiohttpClient(HttpClient):
    """Sends over connections of aiohttp."""

    def __init__(self, connector: BaseConnector, *, allow_private: bool, limits: HttpLimits) -> None:
        self._connector = connector
        self._schemes = {"https", "http"} if allow_private else {"https"}
        self._limits = limits
        self._time = TimeLimit(limits.total_s)
        self._opening = ClientTimeout(connect=limits.connect_s)
        self._way = lru_cache(_WAYS_KEPT)(self._find_way)

    @classmethod
    @asynccontextmanager
    async def open(cls, *, allow_private: bool, limits: HttpLimits | None = None) -> AsyncIterator[Self]:
        """A client for as long as the scope lasts; `allow_private` also lets plain http through."""
        bounds = limits or HttpLimits()
        async with _connector(bounds, allow_private=allow_private) as connector:
            yield cls(connector, allow_private=allow_private, limits=bounds)

    async def send(self, request: HttpRequest) -> HttpResponse:
        way, progress = self._way(request.method, request.url), _Progress()
        try:
            with self._time.scope():
                connection = await self._connected(way)
                try:
                    response = await self._exchange(connection, way, request, progress)
                except BaseException:
                    connection.close()
                    raise
                connection.release()
                return response
        except ValueError as error:
            raise _meaning(error, way.host, is_sending=progress.is_sending) from None  # its text may be a header
        except (ClientError, HttpProcessingError, TimeoutError, OSError) as error:
            raise _meaning(error, way.host, is_sending=progress.is_sending) from error

    async def _connected(self, way: _Way) -> Connection:
        """A connection on which nothing waits: what an idle one was sent is no answer to what it will be asked."""
        for _ in range(_STALE_AT_MOST):
            connection = await self._connector.connect(way.opening, [], self._opening)
            if connection.protocol is None or not connection.protocol.should_close:
                return connection
            connection.close()
        raise ClientError("it speaks before it is asked")

    async def _exchange(
        self, connection: Connection, way: _Way, request: HttpRequest, progress: _Progress
    ) -> HttpResponse:
        protocol, most_bytes = _ready(connection, way), max(request.takes_bytes, self._limits.response_bytes)
        writer = StreamWriter(protocol, asyncio.get_running_loop())
        await writer.write_headers(way.line, _headers(way, request))
        # The connection stands, and no byte of the request has left.
        pass_fence()
        progress.is_sending = True
        if len(request.body) > _ONE_GO_BYTES:
            response, is_sent = await _answer_to_pieces(writer, request.body, protocol, most_bytes)
        else:
            await writer.write(request.body, drain=False)
            response = await _answer(protocol, most_bytes)
            is_sent = not protocol.writing_paused
        if not is_sent:
            connection.close()
        return response

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        """Whose certificates are believed: to load them takes as long as some hundred requests, and not all need it."""
        return ssl.create_default_context()

    def _find_way(self, method: str, address: str) -> _Way:
        url, host = self._address(address)
        try:
            opening = ClientRequest(method, url, headers=_HEADERS, ssl=self._trust if url.scheme == "https" else True)
        except ValueError as error:
            raise _meaning(error, host, is_sending=False) from None  # its text may be the address
        return _Way(opening, f"{opening.method} {opening.url.raw_path_qs} HTTP/1.1", host)

    def _address(self, text: str) -> tuple[URL, str]:
        try:
            url = URL(text)
            host = url.host or ""
        except ValueError:
            url, host = URL(), ""
        if url.scheme not in self._schemes or not _HOST.fullmatch(host) or url.user or url.password:
            schemes = " or ".join(sorted(self._schemes))
            raise DestinationInvalid(f"the destination's address must be {schemes}://host/..., without user@")
        return url, host


def _connector(limits: HttpLimits, *, allow_private: bool) -> TCPConnector:
    return TCPConnector(
        limit=limits.connections,
        limit_per_host=limits.connections_per_host,
        keepalive_timeout=limits.keep_alive_s,
        ttl_dns_cache=limits.dns_s,
        socket_factory=guarded_socket(allow_private=allow_private),
    )


def _ready(connection: Connection, way: _Way) -> ResponseHandler:
    """The protocol of a connection, ready for an answer."""
    protocol = connection.protocol
    if protocol is None:
        raise ClientError("the connection was closed")
    is_head = way.opening.method == "HEAD"
    protocol.set_response_params(skip_payload=is_head, read_until_eof=True, auto_decompress=False)
    return protocol


def _headers(way: _Way, request: HttpRequest) -> CIMultiDict[str]:
    headers = way.opening.headers.copy()
    headers.update(request.headers)
    if request.body:
        headers["Content-Length"] = str(len(request.body))
        headers.setdefault("Content-Type", "application/octet-stream")
    return headers


async def _answer_to_pieces(
    writer: StreamWriter, body: bytes, protocol: ResponseHandler, most_bytes: int
) -> tuple[HttpResponse, bool]:
    """The answer to a long body, which may come before all of that was sent; and whether it was."""
    async with side_by_side() as tasks:
        writing = tasks.create_task(_write_in_pieces(writer, body))
        response = await _answer(protocol, most_bytes)
        is_sent = writing.done()
        writing.cancel()
    return response, is_sent


async def _write_in_pieces(writer: StreamWriter, body: bytes) -> None:
    # Who reads the answer is told of a broken connection too, and the answer may have come before.
    with suppress(OSError):
        for at in range(0, len(body), _PIECE_BYTES):
            await writer.write(body[at : at + _PIECE_BYTES])


async def _answer(protocol: ResponseHandler, most_bytes: int) -> HttpResponse:
    """The answer, read whole; what a server says before it is passed over."""
    message, content = await protocol.read()
    while message.code < HTTPStatus.OK and message.code != HTTPStatus.SWITCHING_PROTOCOLS:
        message, content = await protocol.read()
    failpoint("exec.after_send_before_response")
    body = bytearray()
    while not content.at_eof():
        body += await content.readany()
        if len(body) > most_bytes:
            raise AnswerTooLong(f"the destination's answer is longer than {most_bytes} bytes")
    headers = {name.lower(): value for name, value in message.headers.items()}
    return HttpResponse(message.code, headers, bytes(body))


def _meaning(error: Exception, host: str, *, is_sending: bool) -> Exception:
    """What a failure says about the batch; the host is named, nothing else of the address."""
    what = type(error).__name__
    if is_sending:
        return InDoubt(f"{host} was sent a request and its answer is lost: {what}")
    if isinstance(error, ClientConnectorError) and isinstance(error.os_error, AddressForbidden):
        return DestinationInvalid(f"{host} is at an address that is not allowed: only public addresses are")
    if isinstance(error, ClientConnectorCertificateError):
        return DestinationInvalid(f"{host} shows a certificate that is not valid")
    if isinstance(error, ValueError):
        return DestinationInvalid("the address, the method or a header holds what HTTP does not allow")
    return DestinationUnavailable(f"{host} cannot be reached ({what}): check the address, and whether it is up")
