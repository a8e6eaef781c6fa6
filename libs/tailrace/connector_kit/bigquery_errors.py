"""What BigQuery answers with an error, as errors of ours: https://cloud.google.com/bigquery/docs/error-messages.

The server's words pass only where no row was read: those of a query at work hold values of rows.
"""

from collections.abc import Mapping
from http import HTTPStatus

from tailrace.connector_kit.http import HttpResponse
from tailrace.connector_kit.manifest.parts import read_json, text_at
from tailrace.connector_kit.warehouse import TOO_SLOW
from tailrace.core.errors import CredentialsRefused, SourceInvalid, SourceUnavailable, TailraceError

_PASSING = frozenset(
    {
        *("rateLimitExceeded", "backendError", "internalError", "badGateway"),
        *("jobRateLimitExceeded", "jobBackendError", "jobInternalError"),
        "tableUnavailable",
    }
)
_PASSING_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
_STOPPED = frozenset({"stopped", "timeout"})
_NO_JOB = "Not found: Job"
_TWINS = "Duplicate column name"
_REFUSED: Mapping[str, str] = {
    "bytesBilledLimitExceeded": "the query would be billed for more than maximum_bytes_billed",
    "billingTierLimitExceeded": "the query would be billed for more than the project allows",
    "billingNotEnabled": "the project has no billing: enable it in BigQuery",
    "resourcesExceeded": "the query takes more than BigQuery has for one: read fewer rows or columns",
    "responseTooLarge": "the query gives more than BigQuery returns of one: read fewer rows or columns",
}
_OF_THE_QUERY = frozenset({400, 403, 404, 412})


def may_pass(response: HttpResponse) -> bool:
    """Whether the same request may find an answer a little later."""
    return response.status in _PASSING_STATUSES or _reason(response) in _PASSING


def has_no_job(response: HttpResponse) -> bool:
    """Whether the job that was asked about is not there: not yet, or no longer, since results are kept for a day.

    It may be found a little later although its making was answered: https://github.com/googleapis/python-bigquery/issues/2134.
    """
    return response.status == HTTPStatus.NOT_FOUND and _words(response).startswith(_NO_JOB)


def classified(response: HttpResponse, *, is_dry: bool) -> TailraceError:
    """What an answer that is no success means; `is_dry` where it is about a query that was only looked at."""
    reason, words = _reason(response), _words(response)
    if response.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED}:
        return CredentialsRefused("BigQuery refuses the service account's token")
    told = f"{reason}, HTTP {response.status}" if reason.isascii() and reason.isalpha() else f"HTTP {response.status}"
    known = _known(reason)
    if known is not None:
        return known
    if has_no_job(response):
        return SourceUnavailable("BigQuery does not find the job or its rows, which it keeps for a day")
    if may_pass(response) or response.status not in _OF_THE_QUERY:
        return SourceUnavailable(f"the warehouse cannot answer now ({told})")
    if is_dry:
        return _refused(words or told)
    what = "on a value of a row, or for a right that is missing"
    return SourceInvalid(f"the query fails, {what} ({told})", code="SOURCE_QUERY")


def _known(reason: str) -> TailraceError | None:
    """What a reason means, whatever was asked."""
    if reason in _STOPPED:
        return SourceUnavailable(f"the query was stopped in BigQuery, or {TOO_SLOW}", code="SOURCE_TIMEOUT")
    if reason in _REFUSED:
        return SourceInvalid(_REFUSED[reason], code="SOURCE_QUERY")
    if reason == "quotaExceeded":
        return SourceUnavailable("a quota of the project in BigQuery is used up")
    return None


def _refused(words: str) -> SourceInvalid:
    if _TWINS in words:
        return SourceInvalid(f"give each column its own name with AS: {words}", code="DUPLICATE_COLUMN")
    return SourceInvalid(f"the warehouse refuses the query: {words}", code="SOURCE_QUERY")


def _words(response: HttpResponse) -> str:
    return text_at(read_json(response.body), "error.message")


def _reason(response: HttpResponse) -> str:
    return text_at(read_json(response.body), "error.errors.0.reason")
