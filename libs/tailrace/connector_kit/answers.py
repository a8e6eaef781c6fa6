"""What an HTTP status means for a batch; vendors with other habits look into the body first."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from tailrace.connector_kit.http import HttpResponse
from tailrace.core.errors import (
    BatchRefused,
    CredentialsRefused,
    DestinationInvalid,
    DestinationUnavailable,
    TailraceError,
    Throttled,
)

REFUSING = frozenset({401, 407})
"""What is said to whoever is not known, whatever is asked for."""

_CREDENTIALS = frozenset({401, 403, 407})
_ROW = frozenset({400, 409, 412, 413, 422})
_LATER = frozenset({408, 423, 425})
_FIRST_ERROR = 400
_FIRST_OWN_ERROR = 500


def raise_for_status(response: HttpResponse, *, now: datetime) -> None:
    """Return if the status is 2xx; else raise what it means. Nothing of the body enters the message.

    :raises Throttled: 429, and 503 that says when to come back.
    :raises DestinationUnavailable: 408, 423, 425 and 5xx.
    :raises CredentialsRefused: 401, 403, 407.
    :raises BatchRefused: 400, 409, 412, 413, 422: a row of the batch is bad, or the batch too large.
    :raises DestinationInvalid: a redirect, and every other 4xx: no batch will pass until somebody mends the settings.
    """
    if not response.is_success:
        raise _meaning(response, now)


def raise_if_absent(response: HttpResponse, *, now: datetime) -> None:
    """Return if an answer to OPTIONS shows that somebody is there: any but a redirect, an outage, a 401 or 407.

    That it knows no OPTIONS, as 405 and 501 say, is no outage.

    :raises TailraceError: as `raise_for_status`.
    """
    if response.status == HTTPStatus.NOT_IMPLEMENTED:
        return
    if response.status in REFUSING or not _FIRST_ERROR <= response.status < _FIRST_OWN_ERROR:
        raise_for_status(response, now=now)


def retry_after_s(response: HttpResponse, *, now: datetime) -> float | None:
    """Seconds to wait as `Retry-After` says in seconds or as a date; None where it says nothing readable."""
    told = response.headers.get("retry-after", "").strip()
    if told.isascii() and told.isdigit():
        return float(told[:9])
    try:
        until = parsedate_to_datetime(told)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - now).total_seconds())


def _meaning(response: HttpResponse, now: datetime) -> TailraceError:
    status, told = response.status, _told(response.status)
    wait_s = retry_after_s(response, now=now)
    if status == HTTPStatus.TOO_MANY_REQUESTS or (status == HTTPStatus.SERVICE_UNAVAILABLE and wait_s is not None):
        return Throttled(f"the destination is busy: {told}", retry_after_s=wait_s)
    if status >= _FIRST_OWN_ERROR or status in _LATER:
        return DestinationUnavailable(f"the destination is out of order: {told}")
    if status in _CREDENTIALS:
        return CredentialsRefused(f"the destination refuses the credentials ({told}): put valid ones into its settings")
    if status in _ROW:
        return BatchRefused(f"the destination refuses the batch: {told}")
    if status < _FIRST_ERROR:
        return DestinationInvalid(
            f"the destination redirects, which is not followed ({told}): set the address it names"
        )
    return DestinationInvalid(f"the destination does not take this request ({told}): check address and method")


def _told(status: int) -> str:
    try:
        return f"HTTP {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"HTTP {status}"
