"""The HTTP client of a process: one session, kept-alive connections, no surprises.

It sends every request exactly once, follows no redirect, reads no proxy from the environment, and looks at the very
address that it is about to connect to: a guard in the resolver would not see addresses written as numbers.
"""

import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from io import BytesIO
from typing import Self

from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorError,
    ClientError,
    ClientRequest,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)
from aiohttp.connector import Connection
from yarl import URL

from tailrace.connector_kit.fence import pass_fence
from tailrace.connector_kit.http import HttpClient, HttpRequest, HttpResponse
from tailrace.core.errors import AnswerTooLong, DestinationInvalid, DestinationUnavailable, InDoubt
from tailrace.observe.failpoints import failpoint
from tailrace.runtime.addresses import AddressForbidden, guarded_socket

_HOST = re.compile(r"[\w.:%-]+")
_ONE_GO_BYTES = 1_048_576


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


@dataclass(slots=True)
class _Progress:
    is_sending: bool = False


_progress: ContextVar[_Progress] = ContextVar("progress")


class _Request(ClientRequest):
    async def send(self, conn: Connection) -> ClientResponse:
        # The connection stands, and no byte of the request has left. A trace would be told too, for more than it costs.
        pass_fence()
        _progress.get().is_sending = True
        return await super().send(conn)


class AiohttpClient(HttpClient):
    """Sends by aiohttp."""

    def __init__(self, session: ClientSession, *, allow_private: bool, limits: HttpLimits) -> None:
        self._session = session
        self._schemes = {"https", "http"} if allow_private else {"https"}
        self._limits = limits

    @classmethod
    @asynccontextmanager
    async def open(cls, *, allow_private: bool, limits: HttpLimits | None = None) -> AsyncIterator[Self]:
        """A client for as long as the scope lasts; `allow_private` also lets plain http through."""
        bounds = limits or HttpLimits()
        session = ClientSession(
            connector=_connector(bounds, allow_private=allow_private),
            timeout=ClientTimeout(total=bounds.total_s, connect=bounds.connect_s),
            cookie_jar=DummyCookieJar(),
            request_class=_Request,
            headers={"Accept-Encoding": "identity", "User-Agent": "Tailrace"},
            auto_decompress=False,
            raise_for_status=False,
            trust_env=False,
        )
        # Otherwise aiohttp sends PUT and DELETE again, unseen, when a kept-alive connection breaks.
        session._retry_connection = False  # noqa: SLF001 - there is no public switch
        async with session:
            yield cls(session, allow_private=allow_private, limits=bounds)

    async def send(self, request: HttpRequest) -> HttpResponse:
        url, host = self._address(request.url)
        progress = _Progress()
        outer = _progress.set(progress)
        try:
            async with self._session.request(
                request.method,
                url,
                headers=request.headers,
                data=_payload(request.body),
                allow_redirects=False,
            ) as response:
                failpoint("exec.after_send_before_response")
                return await self._whole(response, max(request.takes_bytes, self._limits.response_bytes))
        except ValueError as error:
            raise _meaning(
                error, host, is_sending=progress.is_sending
            ) from None  # its text may be the address or a header
        except (ClientError, TimeoutError, OSError) as error:
            raise _meaning(error, host, is_sending=progress.is_sending) from error
        finally:
            _progress.reset(outer)

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

    async def _whole(self, response: ClientResponse, most_bytes: int) -> HttpResponse:
        body = bytearray()
        async for piece in response.content.iter_any():
            body += piece
            if len(body) > most_bytes:
                response.close()
                raise AnswerTooLong(f"the destination's answer is longer than {most_bytes} bytes")
        headers = {name.lower(): value for name, value in response.headers.items()}
        return HttpResponse(response.status, headers, bytes(body))


def _connector(limits: HttpLimits, *, allow_private: bool) -> TCPConnector:
    return TCPConnector(
        limit=limits.connections,
        limit_per_host=limits.connections_per_host,
        keepalive_timeout=limits.keep_alive_s,
        ttl_dns_cache=limits.dns_s,
        ssl=ssl.create_default_context(),
        socket_factory=guarded_socket(allow_private=allow_private),
    )


def _payload(body: bytes) -> bytes | BytesIO | None:
    # aiohttp copies bytes to the socket at one go; a stream it sends piece by piece.
    if len(body) > _ONE_GO_BYTES:
        return BytesIO(body)
    return body or None


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
