"""Requests to BigQuery: signed in, repeated while that may help, read once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from tailrace.connector_kit.bigquery_errors import classified, has_no_job, may_pass
from tailrace.connector_kit.bigquery_settings import BigQuerySettings
from tailrace.connector_kit.google_accounts import sign_in_for, values_of
from tailrace.connector_kit.http import HttpClient, HttpRequest, HttpResponse
from tailrace.connector_kit.manifest.sign_in import SignIn
from tailrace.connector_kit.patience import ANSWER_BYTES, Patience
from tailrace.core.clock import Clock, SystemClock
from tailrace.core.errors import SourceUnavailable

SCOPE = "https://www.googleapis.com/auth/bigquery"
"""The least of the scopes that `jobs.insert`, `getQueryResults` and `jobs.cancel` all take."""

_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0)
_LONGEST_PAUSE_S = 30.0
_HEADERS = {"Accept": "application/json", "Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Call:
    """A request that may be repeated; `path` is below the project. `is_dry` where it only looks at a query.

    `awaits_job` where it is about a job that may be there a little later.
    """

    method: str
    path: str
    question: Mapping[str, str | int] = field(default_factory=dict)
    body: Mapping[str, object] | None = None
    is_dry: bool = False
    awaits_job: bool = False


class BigQueryCalls:
    """Calls about one project."""

    def __init__(self, settings: BigQuerySettings, http: HttpClient, clock: Clock | None = None) -> None:
        self._root = f"{settings.api_url}/bigquery/v2/projects/{quote(settings.project, safe='')}"
        clock = clock or SystemClock()
        self._patience = Patience("BigQuery", clock, _PAUSES_S, _LONGEST_PAUSE_S)
        grant = sign_in_for(SCOPE).model_copy(update={"token_url": settings.token_url})
        self._sign_in = SignIn(grant, values_of(settings.service_account), http, clock)

    async def ask(self, call: Call) -> dict[str, Any]:
        """The document of an answer; an empty one where what is to be made is there already.

        :raises SourceInvalid, SourceUnavailable, CredentialsRefused: what else came of it.
        """
        request = self._request(call)
        response = await self._patience.answer(
            lambda: self._sign_in.send(request, is_expired=_is_expired), may_pass=partial(_passes, call)
        )
        if response.status == HTTPStatus.CONFLICT:
            return {}
        if not response.is_success:
            raise classified(response, is_dry=call.is_dry)
        found = await self._patience.document(response) if response.body else {}
        if not isinstance(found, dict):
            raise SourceUnavailable("BigQuery answers what is no JSON object")
        return found

    def _request(self, call: Call) -> HttpRequest:
        url = f"{self._root}/{call.path}" + (f"?{urlencode(call.question)}" if call.question else "")
        body = b"" if call.body is None else orjson.dumps(call.body)
        return HttpRequest(call.method, url, _HEADERS, body, ANSWER_BYTES)


def _is_expired(response: HttpResponse) -> bool:
    return response.status == HTTPStatus.UNAUTHORIZED


def _passes(call: Call, response: HttpResponse) -> bool:
    """Whether what was asked in vain may be answered a little later."""
    if response.is_success or response.status == HTTPStatus.CONFLICT:
        return False
    failure = classified(response, is_dry=call.is_dry)
    is_outage = isinstance(failure, SourceUnavailable) and failure.code != "SOURCE_TIMEOUT"
    return is_outage and (may_pass(response) or (call.awaits_job and has_no_job(response)))
