"""What Databricks answers, as errors of ours: https://docs.databricks.com/aws/en/error-messages/sqlstates."""

import re
from http import HTTPStatus

from tailrace.connector_kit.http import HttpResponse
from tailrace.connector_kit.manifest.parts import read_json, text_at
from tailrace.connector_kit.warehouse import TOO_SLOW
from tailrace.core.errors import CredentialsRefused, SourceInvalid, SourceUnavailable, TailraceError
from tailrace.core.rows import fit_code

NOT_LET_IN = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
"""What is answered to whoever is not known any more; which of the two, the reference leaves open."""

_STATE = re.compile(r"SQLSTATE: ([0-9A-Z]{5})")
# At the beginning, behind names of exceptions at most: further on, brackets may be around a value.
_CLASS = re.compile(r"(?:[\w.$]+: )*\[([A-Z][A-Z0-9_.]+)\]")
_QUERY_STATES = ("42", "0A", "07")
_ABOUT_A_VALUE = ("22", "21")
_NOT_NOW = frozenset(
    {
        "ABORTED",
        "INTERNAL_ERROR",
        "IO_ERROR",
        "RESOURCE_EXHAUSTED",
        "SERVICE_UNDER_MAINTENANCE",
        "TEMPORARILY_UNAVAILABLE",
        "UNKNOWN",
        "WORKSPACE_TEMPORARILY_UNAVAILABLE",
    }
)


def failed(status: object, *, is_described: bool) -> TailraceError:
    """Why a statement failed. Words of one that reads rows may hold values of theirs, so only its class is told."""
    code, words = text_at(status, "error.error_code"), text_at(status, "error.message")
    found, named = _STATE.search(words), _CLASS.match(words)
    state = text_at(status, "sql_state") or (found[1] if found else "")
    kind = fit_code(named[1] if named else code)
    if code in _NOT_NOW:
        return SourceUnavailable(f"the warehouse cannot answer now ({kind})")
    if code == "DEADLINE_EXCEEDED":
        return SourceUnavailable(TOO_SLOW, code="SOURCE_TIMEOUT")
    if is_described:
        return SourceInvalid(f"the warehouse refuses the query: {words}", code="SOURCE_QUERY")
    if state.startswith(_ABOUT_A_VALUE):
        return SourceInvalid(f"the query fails on a value of a row ({kind})", code="SOURCE_QUERY")
    if state.startswith(_QUERY_STATES):
        return SourceInvalid(f"the warehouse refuses the query ({kind})", code="SOURCE_QUERY")
    return SourceInvalid(f"the query fails in Databricks ({kind}): its query history says more", code="SOURCE_QUERY")


def refused(response: HttpResponse) -> TailraceError:
    """Why a call was not answered; nothing of the body comes along but a code."""
    code = fit_code(text_at(read_json(response.body), "error_code") or str(response.status))
    if response.status in NOT_LET_IN:
        return CredentialsRefused(f"Databricks refuses the credentials, or they may not use the warehouse ({code})")
    if response.status == HTTPStatus.NOT_FOUND:
        return SourceInvalid(f"Databricks knows no such warehouse or result: check host and warehouse_id ({code})")
    if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR or response.status == HTTPStatus.TOO_MANY_REQUESTS:
        return SourceUnavailable(f"Databricks cannot answer now ({code})")
    return SourceInvalid(
        f"Databricks does not take the request ({code}): check host, warehouse_id, catalog and schema_name"
    )
