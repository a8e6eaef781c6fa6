"""What callers hear when something is wrong: an example of a problem for each status."""

from http import HTTPStatus
from typing import Any

from tailrace.core.errors import Conflict
from tailrace_gateway.problems import Fault, Problem, problem_of

_RUN = "retl_run_01j9k7p2q3r4s5t6"

_PROBLEMS = {
    400: Problem(400, "NOT_JSON", "the body is not JSON"),
    401: Problem(401, "UNAUTHENTICATED", "this token is unknown, expired or revoked"),
    403: Problem(403, "FORBIDDEN", "this needs a token with the role editor; yours is viewer"),
    404: Problem(404, "NOT_FOUND", "nothing of that id in this workspace"),
    409: problem_of(Conflict(f"run {_RUN} of this sync is active", code="RUN_ACTIVE", existing_id=_RUN)),
    412: Problem(412, "STALE", "it has changed since you read it: get it again"),
    422: Problem(
        422,
        "VALIDATION",
        "/syncMode: this object takes insert",
        [Fault("/syncMode", "mode", "this object takes insert")],
    ),
    424: Problem(424, "DESTINATION_UNAVAILABLE", "the destination does not answer within 15 s"),
    429: Problem(429, "TOO_MANY", "a token may have 5 streams open at once", retry_after_s=5),
    500: Problem(500, "INTERNAL", "something went wrong on our side"),
    503: Problem(503, "STORE_UNAVAILABLE", "the state store does not answer; nothing is lost, try again"),
}


def problem(status: int) -> dict[str, Any]:
    """A problem of that status."""
    some = _PROBLEMS.get(status) or Problem(status, HTTPStatus(status).name, HTTPStatus(status).phrase)
    return some.document("/api/reverse-etl/syncs")
