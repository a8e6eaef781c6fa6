"""Calls of Databricks' REST API, and of the storage where it lays results: each repeated where that only asks again."""

from base64 import b64encode
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import orjson

from tailrace.connector_kit.databricks_errors import NOT_LET_IN, refused
from tailrace.connector_kit.databricks_settings import DatabricksSettings
from tailrace.connector_kit.http import HttpClient, HttpRequest, HttpResponse
from tailrace.connector_kit.manifest.auth import Auth, Bearer, ClientCredentials, Values
from tailrace.connector_kit.manifest.sign_in import SignIn
from tailrace.connector_kit.patience import ANSWER_BYTES, Patience
from tailrace.core.clock import Clock
from tailrace.core.errors import CredentialsRefused, SourceUnavailable

STATEMENTS = "/api/2.0/sql/statements"
_PAUSES_S = (0.2, 1.0, 3.0, 8.0, 20.0)
_LONGEST_PAUSE_S = 60.0
_BUSY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_ASK_AGAIN = _BUSY | {HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT}


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
    patience: Patience

    async def ask(self, path: str) -> Any:  # noqa: ANN401 - foreign JSON
        """The answer to a question."""
        request = HttpRequest("GET", self.address + path, takes_bytes=ANSWER_BYTES)
        return await self._answer(request, _ASK_AGAIN)

    async def tell(self, path: str, body: Mapping[str, object]) -> Any:  # noqa: ANN401 - foreign JSON
        """The answer to a request that does something: repeated only where it did not."""
        headers = {"Content-Type": "application/json"}
        request = HttpRequest("POST", self.address + path, headers, orjson.dumps(body), takes_bytes=ANSWER_BYTES)
        return await self._answer(request, _BUSY)

    async def load(self, link: str, headers: Mapping[str, str]) -> list[list[str | None]]:
        """The rows that lie at a link, which lets in by itself: no credentials of ours go there.

        :raises LinkEnded: it lets in no more.
        """
        request = HttpRequest("GET", link, headers, takes_bytes=ANSWER_BYTES)
        response = await self.patience.answer(
            lambda: self.http.send(request), may_pass=lambda answer: answer.status in _ASK_AGAIN
        )
        if not response.is_success:
            raise LinkEnded(f"the storage of Databricks gives no result (HTTP {response.status})")
        return await self.patience.document(response)  # type: ignore[no-any-return]  # foreign JSON

    async def _answer(self, request: HttpRequest, again: Container[int]) -> Any:  # noqa: ANN401 - foreign JSON
        sending, is_question = partial(self._signed, request), request.method == "GET"
        response = await self.patience.answer(
            sending, may_pass=lambda answer: answer.status in again, is_repeatable=is_question
        )
        if not response.is_success:
            raise refused(response)
        return await self.patience.document(response)

    async def _signed(self, request: HttpRequest) -> HttpResponse:
        try:
            return await self.sign_in.send(request, is_expired=lambda answer: answer.status in NOT_LET_IN)
        except CredentialsRefused:
            raise CredentialsRefused("Databricks gives no access token for client_id and client_secret") from None


def calls_of(settings: DatabricksSettings, http: HttpClient, clock: Clock) -> Calls:
    """The calls that the settings allow."""
    auth: Auth
    if settings.access_token is not None:
        auth, values = Bearer(), {"token": settings.access_token.get_secret_value()}
    else:
        secret = settings.client_secret.get_secret_value() if settings.client_secret else ""
        auth = _Principal(token_url="{address}/oidc/v1/token", scope="all-apis")  # noqa: S106 - an address, no password
        values = {"address": settings.address, "client_id": settings.client_id or "", "client_secret": secret}
    patience = Patience("Databricks", clock, _PAUSES_S, _LONGEST_PAUSE_S)
    return Calls(settings.address, SignIn(auth, values, http, clock), http, patience)
