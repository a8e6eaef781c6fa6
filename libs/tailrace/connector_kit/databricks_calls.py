"""Calls of Databricks' REST API, and of the storage where it lays results: each repeated where that only asks again."""

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import orjson

from tailrace.connector_kit.answers import retry_after_s
from tailrace.connector_kit.databricks_errors import NOT_LET_IN, refused
from tailrace.connector_kit.databricks_settings import DatabricksSettings
from tailrace.connector_kit.http import HttpClient, HttpRequest, HttpResponse
from tailrace.connector_kit.manifest.auth import Auth, Bearer, ClientCredentials, Values
from tailrace.connector_kit.manifest.sign_in import SignIn
from tailrace.core.clock import Clock
from tailrace.core.errors import (
    AnswerTooLong,
    CredentialsRefused,
    DestinationInvalid,
    DestinationUnavailable,
    InDoubt,
    SourceInvalid,
    SourceUnavailable,
    Throttled,
)

STATEMENTS = "/api/2.0/sql/statements"
_WAITS_S = (0.2, 1.0, 3.0, 8.0, 20.0)
_LONGEST_WAIT_S = 60.0
_ANSWER_BYTES = 64 << 20
_BUSY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_ASK_AGAIN = _BUSY | {HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT}
_THREAD_BYTES = 1 << 20

_Send = Callable[[HttpRequest], Awaitable[HttpResponse]]


class LinkEnded(SourceUnavailable):
    """The storage does not give a piece of a result by this link any more; another one may be asked for."""


class _Principal(ClientCredentials):
    """A service principal, which shows itself by `Authorization: Basic`, as the vendor's own clients do."""

    def request(self, values: Values, *, now: datetime) -> HttpRequest:
        asked = super().request(values, now=now)
        shown = b64encode(f"{values['client_id']}:{values['client_secret']}".encode()).decode()
        body = urlencode({"grant_type": "client_credentials", "scope": "all-apis"}).encode()
        return HttpRequest(asked.method, asked.url, {**asked.headers, "Authorization": f"Basic {shown}"}, body)


@dataclass(frozen=True, slots=True)
class Calls:
    """Of one workspace, as whoever the settings name."""

    address: str
    sign_in: SignIn = field(repr=False)
    http: HttpClient
    clock: Clock

    async def ask(self, path: str) -> Any:  # noqa: ANN401 - foreign JSON
        """The answer to a question."""
        request = HttpRequest("GET", self.address + path, takes_bytes=_ANSWER_BYTES)
        return await self._answer(request, _ASK_AGAIN)

    async def tell(self, path: str, body: Mapping[str, object]) -> Any:  # noqa: ANN401 - foreign JSON
        """The answer to a request that does something: repeated only where it did not."""
        headers = {"Content-Type": "application/json"}
        request = HttpRequest("POST", self.address + path, headers, orjson.dumps(body), takes_bytes=_ANSWER_BYTES)
        return await self._answer(request, _BUSY)

    async def load(self, link: str, headers: Mapping[str, str]) -> list[list[str | None]]:
        """The rows that lie at a link, which lets in by itself: no credentials of ours go there.

        :raises LinkEnded: it lets in no more.
        """
        response = await self._patiently(
            self.http.send, HttpRequest("GET", link, headers, takes_bytes=_ANSWER_BYTES), _ASK_AGAIN
        )
        if not response.is_success:
            raise LinkEnded(f"the storage of Databricks gives no result (HTTP {response.status})")
        return await _read(response.body)  # type: ignore[no-any-return]  # foreign JSON

    async def _answer(self, request: HttpRequest, again: frozenset[HTTPStatus]) -> Any:  # noqa: ANN401 - foreign JSON
        response = await self._patiently(self._signed, request, again)
        if not response.is_success:
            raise refused(response)
        return await _read(response.body)

    async def _signed(self, request: HttpRequest) -> HttpResponse:
        return await self.sign_in.send(request, is_expired=lambda answer: answer.status in NOT_LET_IN)

    async def _patiently(self, send: _Send, request: HttpRequest, again: frozenset[HTTPStatus]) -> HttpResponse:
        """Send, and again after a while where that is of use; the last answer, or what stands in its way."""
        for wait_s in _WAITS_S:
            told_s: float | None = None
            try:
                response = await _translated(send, request)
            except _LostError as lost:
                if lost.may_have_arrived and request.method != "GET":
                    raise
                told_s = lost.wait_s
            else:
                if response.status not in again:
                    return response
                told_s = retry_after_s(response, now=self.clock.now())
            await asyncio.sleep(min(max(wait_s, told_s or 0.0), _LONGEST_WAIT_S))
        return await _translated(send, request)


class _LostError(SourceUnavailable):
    """No answer came."""

    def __init__(self, message: str, *, may_have_arrived: bool, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.may_have_arrived = may_have_arrived
        self.wait_s = wait_s


def calls_of(settings: DatabricksSettings, http: HttpClient, clock: Clock) -> Calls:
    """The calls that the settings allow."""
    auth: Auth
    if settings.access_token is not None:
        auth, values = Bearer(), {"token": settings.access_token.get_secret_value()}
    else:
        secret = settings.client_secret.get_secret_value() if settings.client_secret else ""
        auth = _Principal(token_url="{address}/oidc/v1/token", scope="all-apis")  # noqa: S106 - an address, no password
        values = {"address": settings.address, "client_id": settings.client_id or "", "client_secret": secret}
    return Calls(settings.address, SignIn(auth, values, http, clock), http, clock)


async def _translated(send: _Send, request: HttpRequest) -> HttpResponse:
    try:
        return await send(request)
    except CredentialsRefused:
        raise CredentialsRefused("Databricks gives no access token for client_id and client_secret") from None
    except Throttled as error:
        told = "Databricks is busy and gives no access token"
        raise _LostError(told, may_have_arrived=False, wait_s=error.retry_after_s) from None
    except DestinationUnavailable as error:
        raise _LostError(f"Databricks does not answer: {error.message}", may_have_arrived=False) from None
    except AnswerTooLong:
        told = f"a part of the result is longer than {_ANSWER_BYTES >> 20} MiB: leave columns out, or shorten them"
        raise SourceInvalid(told, code="SOURCE_QUERY") from None
    except InDoubt as error:
        raise _LostError(f"an answer of Databricks is lost: {error.message}", may_have_arrived=True) from None
    except DestinationInvalid as error:
        told = error.message.replace("the destination's address", "the workspace's host")
        raise SourceInvalid(f"Databricks cannot be reached: {told}") from None


async def _read(body: bytes) -> Any:  # noqa: ANN401 - foreign JSON
    """Parsed once, in a thread where that takes a while."""
    try:
        return orjson.loads(body) if len(body) < _THREAD_BYTES else await asyncio.to_thread(orjson.loads, body)
    except orjson.JSONDecodeError:
        raise SourceUnavailable("an answer of Databricks is no JSON") from None
