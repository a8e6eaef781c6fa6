"""How the body of a 2xx answer says which rows failed: a list aligned with the rows, or a list of row numbers."""

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, ValidationError

from tailrace.connector_kit.http import HttpResponse
from tailrace.core.errors import InDoubt
from tailrace.core.rows import DELIVERED, RowOutcome, rejected, retry, skipped

MESSAGE_LIMIT = 1000
"""Characters of a destination's message that are kept."""

_FIELD_LIMIT = 256
_JSON_STARTS = (b"{", b"[")


def _shortened(value: object) -> object:
    return value[:MESSAGE_LIMIT] if isinstance(value, str) else value or ""


_Text = Annotated[str, BeforeValidator(_shortened)]
_Said: TypeAlias = tuple[str, str, str | None]
"""Code, message and field of an error."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, coerce_numbers_to_str=True, hide_input_in_errors=True)

    code: _Text = ""
    message: _Text = ""
    field: str | None = Field(default=None, max_length=_FIELD_LIMIT)


class _Result(_Entry):
    status: Literal["ok", "skipped", "rejected", "retry"]
    retry_after_s: float | None = Field(default=None, ge=0, allow_inf_nan=False)


class _RowError(_Entry):
    index: StrictInt = Field(ge=0)


class _Body(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    results: list[_Result] | None = None
    errors: list[_RowError] | None = None


_NAMES = frozenset(_Body.model_fields)


def row_outcomes(response: HttpResponse, rows: int, *, requires_results: bool) -> list[RowOutcome]:
    """One outcome for each of so many rows, of a 2xx answer: by its `results`, else by its `errors`, else delivered.

    :raises InDoubt: the answer promises to speak of rows and cannot be understood, or it is HTML.
    """
    told = _told(response)
    outcomes = _by_plain_errors(told, rows)
    if outcomes is not None:
        return outcomes
    body = _read(told)
    if body.results is not None:
        return _aligned(body.results, rows, has_errors=bool(body.errors))
    if body.errors is not None:
        return _numbered(body.errors, rows)
    if requires_results:
        raise InDoubt("the answer has neither `results` nor `errors`, and the settings require one of them")
    return [DELIVERED] * rows


def refusal(response: HttpResponse) -> str:
    """What the destination says about the only row of a refused batch; may hold row values, as it may be short."""
    content_type = response.headers.get("content-type", "")
    if "html" in content_type:
        return ""
    try:
        told = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return response.body.decode(errors="replace")[:MESSAGE_LIMIT].strip()
    if isinstance(told, dict):
        words = (told.get(name) for name in ("message", "error", "detail", "title"))
        told = next((word for word in words if isinstance(word, str) and word), told)
    try:
        return (told if isinstance(told, str) else orjson.dumps(told).decode())[:MESSAGE_LIMIT]
    except orjson.JSONEncodeError:  # what is nested deep can be read, and not be written
        return response.body.decode(errors="replace")[:MESSAGE_LIMIT]


def _told(response: HttpResponse) -> Mapping[str, object]:
    """The object that the answer is, if that says anything about rows; else nothing."""
    content_type = response.headers.get("content-type", "")
    if "html" in content_type:
        raise InDoubt("the answer is an HTML page: is there a login or a proxy before the destination?")
    content = response.body.strip()
    if not content or ("json" not in content_type and not content.startswith(_JSON_STARTS)):
        return {}
    try:
        told = orjson.loads(content)
    except orjson.JSONDecodeError:
        problem = "the answer is no readable JSON"
    else:
        return told if isinstance(told, dict) and not _NAMES.isdisjoint(told) else {}
    raise InDoubt(problem)


def _by_plain_errors(told: Mapping[str, object], rows: int) -> list[RowOutcome] | None:
    """What `errors` say that are all as most are; None where something has to be looked at more closely."""
    errors = told.get("errors")
    if told.get("results") is not None or not isinstance(errors, list):
        return None
    outcomes = [DELIVERED] * rows
    alike: dict[_Said, RowOutcome] = {}
    for error in errors:
        index, said = _plain(error)
        if said is None or not 0 <= index < rows:
            return None
        outcome = alike.get(said)
        if outcome is None:
            code, message, field = said
            outcome = alike[said] = rejected(code or "REJECTED", message, field=field)
        outcomes[index] = outcome
    return outcomes


def _plain(error: object) -> "tuple[int, _Said | None]":
    """Which row it is about, and what it says of it; None if that cannot be taken as it is."""
    if not isinstance(error, dict):
        return -1, None
    index, code, message, field = error.get("index"), error.get("code"), error.get("message"), error.get("field")
    code, message = code or "", message or ""
    if type(index) is not int or not isinstance(code, str) or not isinstance(message, str):
        return -1, None
    is_short = len(code) + len(message) <= MESSAGE_LIMIT
    if field is not None and (not isinstance(field, str) or len(field) > _FIELD_LIMIT):
        return -1, None
    return index, (code, message, field) if is_short else None


def _read(told: Mapping[str, object]) -> _Body:
    try:
        return _Body.model_validate(told)
    except ValidationError as error:
        place = ".".join(map(str, error.errors(include_input=False)[0]["loc"]))
        problem = f"the answer's {place} is not as documented"
    raise InDoubt(problem)


def _aligned(results: list[_Result], rows: int, *, has_errors: bool) -> list[RowOutcome]:
    if len(results) != rows:
        raise InDoubt(f"the answer has {len(results)} results for {rows} rows")
    if has_errors:
        raise InDoubt("the answer has both `results` and `errors`")
    return [_outcome(result) for result in results]


def _numbered(errors: list[_RowError], rows: int) -> list[RowOutcome]:
    outcomes = [DELIVERED] * rows
    for error in errors:
        if error.index >= rows:
            raise InDoubt(f"the answer speaks of row {error.index} of {rows}")
        outcomes[error.index] = rejected(error.code or "REJECTED", error.message, field=error.field)
    return outcomes


def _outcome(result: _Result) -> RowOutcome:
    match result.status:
        case "ok":
            return DELIVERED
        case "skipped":
            return skipped(result.code or "SKIPPED")
        case "retry":
            return retry(result.code or "RETRY", result.message, retry_after_s=result.retry_after_s)
        case "rejected":
            return rejected(result.code or "REJECTED", result.message, field=result.field)
