"""What goes wrong, as RFC 9457 problem documents.

Each also carries `error` and `message`, both text, and `code`: the clients of either contract look for those.
Nothing of the request is repeated but names of fields and places.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web

from tailrace.core.errors import (
    Conflict,
    InDoubt,
    Invalid,
    NotFound,
    Stale,
    StoreUnavailable,
    TailraceError,
    Throttled,
    Unavailable,
)

_RETRY_AFTER_S = 5
_STORE_AWAY = "the state store does not answer; nothing is lost, try again"
_PARAMETER = "parameter"
_POINTER = "pointer"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: at a JSON Pointer into the body, or at a parameter of the URL."""

    place: str
    code: str
    detail: str
    kind: str = _POINTER

    @classmethod
    def at_parameter(cls, name: str, code: str, detail: str) -> "Fault":
        """A fault of a query parameter or header."""
        return cls(name, code, detail, _PARAMETER)


class Malformed(Invalid):
    """The request cannot be read as one: 400."""

    code = "MALFORMED"

    def __init__(self, message: str, *, code: str | None = None, faults: Sequence[Fault] = ()) -> None:
        super().__init__(message, code=code)
        self.faults = tuple(faults)


class Unprocessable(Invalid):
    """The request can be read, and some of its values cannot work: 422, with each of them."""

    code = "VALIDATION"

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(f"{fault.place or 'body'}: {fault.detail}" for fault in faults))
        self.faults = tuple(faults)


class Unauthenticated(TailraceError):
    """No token that opens anything: 401."""

    code = "UNAUTHENTICATED"


class Forbidden(TailraceError):
    """The token's role does not cover this: 403."""

    code = "FORBIDDEN"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How many calls are let in at once after a pause, and when the next one is, for a caller that has none left."""

    calls: int
    resets_at: datetime

    @property
    def headers(self) -> dict[str, str]:
        """As clients of the contracts look for it; the moment in seconds since 1970."""
        resets_at = str(math.ceil(self.resets_at.timestamp()))
        return {"X-RateLimit-Limit": str(self.calls), "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": resets_at}


class TooMany(TailraceError):
    """The caller asks for more at once, or more often, than it may: 429, with the time to wait."""

    code = "TOO_MANY"

    def __init__(
        self, message: str, *, retry_after_s: float = _RETRY_AFTER_S, rate_limit: RateLimit | None = None
    ) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.rate_limit = rate_limit


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem document and the headers that go with it."""

    status: int
    code: str
    detail: str
    faults: Sequence[Fault] = ()
    existing_id: str | None = None
    retry_after_s: float | None = None
    rate_limit: RateLimit | None = None

    def response(self, instance: str) -> web.Response:
        """The answer to the request of that path."""
        headers = {} if self.retry_after_s is None else {"Retry-After": str(max(1, math.ceil(self.retry_after_s)))}
        if self.status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = 'Bearer realm="tailrace"'
        if self.rate_limit is not None:
            headers |= self.rate_limit.headers
        body = orjson.dumps(self.document(instance))
        return web.Response(status=self.status, body=body, headers=headers, content_type="application/problem+json")

    def document(self, instance: str) -> dict[str, Any]:
        """The members in the order in which people read them."""
        members: dict[str, Any] = {
            "type": f"urn:tailrace:problem:{self.code.lower().replace('_', '-')}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
            "code": self.code,
            "error": self.detail,
            "message": self.detail,
        }
        if self.existing_id is not None:
            members["existing_id"] = self.existing_id
        if self.existing_id is not None and self.code == "RUN_ACTIVE":
            members["existing_job_id"] = self.existing_id
        if self.faults:
            members["errors"] = [_fault(fault) for fault in self.faults]
            members["details"] = {_field(fault): fault.detail for fault in self.faults}
        return members


# The first that fits. A failing warehouse or destination is the user's own: no outage of ours.
_STATUSES: Sequence[tuple[type[TailraceError], HTTPStatus]] = (
    (Malformed, HTTPStatus.BAD_REQUEST),
    (Invalid, HTTPStatus.UNPROCESSABLE_ENTITY),
    (Unauthenticated, HTTPStatus.UNAUTHORIZED),
    (Forbidden, HTTPStatus.FORBIDDEN),
    (TooMany, HTTPStatus.TOO_MANY_REQUESTS),
    (NotFound, HTTPStatus.NOT_FOUND),
    (Stale, HTTPStatus.PRECONDITION_FAILED),
    (Conflict, HTTPStatus.CONFLICT),
    (StoreUnavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (Unavailable, HTTPStatus.FAILED_DEPENDENCY),
    (InDoubt, HTTPStatus.FAILED_DEPENDENCY),
)


_NEXT: Mapping[str, str] = {
    "SYNC_NOT_FOUND": "GET /api/reverse-etl/syncs or /v2/retl-connections lists them",
    "MODEL_NOT_FOUND": "GET /v2/retl-sources lists them, sources of connections as they are there",
    "SOURCE_NOT_FOUND": "GET /api/sources lists them",
    "DESTINATION_NOT_FOUND": "GET /api/destinations lists them",
    "CONNECTION_NOT_FOUND": "GET /api/sources and /api/destinations list them",
    "RUN_NOT_FOUND": "GET /api/reverse-etl/runs lists them",
    "LETTER_NOT_FOUND": "GET /api/reverse-etl/dlq lists them, with resolved=true those that are done with",
    "TOKEN_NOT_FOUND": "GET /api/tokens lists them",
    "SYNC_VERSION_NOT_FOUND": "GET /api/syncs/{sync_id}/versions lists them",
    "SYNC_PAUSED": "POST /api/syncs/{sync_id}/resume does so",
    "RUN_ACTIVE": "wait for its end, or POST /api/runs/{run_id}/cancel",
}
"""What to do next, by the code of what went wrong."""


def problem_of(error: TailraceError) -> Problem:
    """The problem that one of our errors is to the caller."""
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), None)
    match error:
        case Malformed(faults=faults) | Unprocessable(faults=faults) if status:
            return Problem(status, error.code, error.message, faults)
        case Conflict(existing_id=existing_id) if status:
            return Problem(status, error.code, _with_next(error), existing_id=existing_id)
        case StoreUnavailable() if status:
            return Problem(status, error.code, _STORE_AWAY, retry_after_s=_RETRY_AFTER_S)
        case TooMany(retry_after_s=retry_after_s) | Throttled(retry_after_s=retry_after_s) if status:
            limit = error.rate_limit if isinstance(error, TooMany) else None
            wait_s = retry_after_s or _RETRY_AFTER_S
            return Problem(status, error.code, error.message, retry_after_s=wait_s, rate_limit=limit)
        case _ if status:
            return Problem(status, error.code, _with_next(error))
        case _:
            return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "INTERNAL", "something went wrong on our side")


def problem_of_status(status: int, detail: str) -> Problem:
    """The problem behind a bare status, such as that of an unknown path."""
    return Problem(status, HTTPStatus(status).name, detail)


def _with_next(error: TailraceError) -> str:
    return f"{error.message}; {_NEXT[error.code]}" if error.code in _NEXT else error.message


def _fault(fault: Fault) -> Mapping[str, str]:
    return {fault.kind: fault.place, "code": fault.code, "detail": fault.detail}


def _field(fault: Fault) -> str:
    return fault.place.removeprefix("/") or "body"
