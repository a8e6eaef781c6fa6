"""Requests to BigQuery: signed in, repeated while that may help, read once."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from tailrace.connector_kit.answers import retry_after_s
from tailrace.connector_kit.bigquery_errors import classified, has_no_job, may_pass
from tailrace.connector_kit.bigquery_settings import BigQuerySettings
from tailrace.connector_kit.google_accounts import sign_in_for, values_of
from tailrace.connector_kit.http import HttpClient, HttpRequest, HttpResponse
from tailrace.connector_kit.manifest.sign_in import SignIn
from tailrace.core.clock import Clock, SystemClock
from tailrace.core.errors import (
    AnswerTooLong,
    DestinationInvalid,
    DestinationUnavailable,
    InDoubt,
    SourceInvalid,
    SourceUnavailable,
    Throttled,
)

SCOPE = "https://www.googleapis.com/auth/bigquery"
"""The least of the scopes that `jobs.insert`, `getQueryResults` and `jobs.cancel` all take."""

_ANSWER_BYTES = 64 << 20
_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0)
_LONGEST_PAUSE_S = 30.0
_IN_THREAD_BYTES = 64 << 10
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
        self._clock = clock or SystemClock()
        grant = sign_in_for(SCOPE).model_copy(update={"token_url": settings.token_url})
        self._sign_in = SignIn(grant, values_of(settings.service_account), http, self._clock)

    async def ask(self, call: Call) -> dict[str, Any]:
        """The document of an answer; an empty one where what is to be made is there already.

        :raises SourceInvalid, SourceUnavailable, CredentialsRefused: what else came of it.
        """
        for pause_s in (*_PAUSES_S, None):
            response, failure, told_s = await self._tried(call)
            if failure is None and response is not None:
                return await _document(response)
            if failure is not None and pause_s is None:
                raise failure
            await self._clock.sleep(min(_LONGEST_PAUSE_S, max(pause_s or 0.0, told_s)))
        raise SourceUnavailable("the warehouse does not answer")

    async def _tried(self, call: Call) -> tuple[HttpResponse | None, SourceUnavailable | None, float]:
        """The answer, or why there is none yet and how long to wait."""
        try:
            response = await self._sign_in.send(self._request(call), is_expired=_is_expired)
        except DestinationInvalid as error:
            raise SourceInvalid(error.message.replace("destination", "warehouse")) from None
        except AnswerTooLong:
            raise SourceInvalid("a row of the query is too large", code="SOURCE_QUERY") from None
        except (InDoubt, DestinationUnavailable) as error:
            told_s = (error.retry_after_s or 0.0) if isinstance(error, Throttled) else 0.0
            return None, SourceUnavailable(f"BigQuery does not answer: {error.message}"), told_s
        if response.is_success or response.status == HTTPStatus.CONFLICT:
            return response, None, 0.0
        failure = classified(response, is_dry=call.is_dry)
        passes = may_pass(response) or (call.awaits_job and has_no_job(response))
        if not passes or not isinstance(failure, SourceUnavailable) or failure.code == "SOURCE_TIMEOUT":
            raise failure
        return None, failure, retry_after_s(response, now=self._clock.now()) or 0.0

    def _request(self, call: Call) -> HttpRequest:
        url = f"{self._root}/{call.path}" + (f"?{urlencode(call.question)}" if call.question else "")
        body = b"" if call.body is None else orjson.dumps(call.body)
        return HttpRequest(call.method, url, _HEADERS, body, _ANSWER_BYTES)


def _is_expired(response: HttpResponse) -> bool:
    return response.status == HTTPStatus.UNAUTHORIZED


async def _document(response: HttpResponse) -> dict[str, Any]:
    if response.status == HTTPStatus.CONFLICT or not response.body:
        return {}
    is_large = len(response.body) > _IN_THREAD_BYTES
    try:
        found = await asyncio.to_thread(orjson.loads, response.body) if is_large else orjson.loads(response.body)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise SourceUnavailable("BigQuery answers what is no JSON object")
    return found
