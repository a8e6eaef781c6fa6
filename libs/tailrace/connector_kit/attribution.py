"""How the body of a 2xx answer says which rows failed: a list aligned with the rows, or a list of row numbers."""

from typing import Annotated, Literal

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, ValidationError

from tailrace.connector_kit.http import HttpResponse
from tailrace.core.errors import InDoubt
from tailrace.core.rows import DELIVERED, RowOutcome, rejected, retry, skipped

MESSAGE_LIMIT = 1000
"""Characters of a destination's message that are kept."""

_JSON_STARTS = (b"{", b"[")


def _shortened(value: object) -> object:
    return value[:MESSAGE_LIMIT] if isinstance(value, str) else value or ""


_Text = Annotated[str, BeforeValidator(_shortened)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, coerce_numbers_to_str=True, hide_input_in_errors=True)

    code: _Text = ""
    message: _Text = ""
    field: str | None = Field(default=None, max_length=256)


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
_SILENT = _Body()


def row_outcomes(response: HttpResponse, rows: int, *, requires_results: bool) -> list[RowOutcome]:
    """One outcome for each of so many rows, of a 2xx answer: by its `results`, else by its `errors`, else delivered.

    :raises InDoubt: the answer promises to speak of rows and cannot be understood, or it is HTML.
    """
    body = _read(response)
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
    return (told if isinstance(told, str) else orjson.dumps(told).decode())[:MESSAGE_LIMIT]


def _read(response: HttpResponse) -> _Body:
    content_type = response.headers.get("content-type", "")
    if "html" in content_type:
        raise InDoubt("the answer is an HTML page: is there a login or a proxy before the destination?")
    content = response.body.strip()
    if not content or ("json" not in content_type and not content.startswith(_JSON_STARTS)):
        return _SILENT
    try:
        told = orjson.loads(content)
        return _Body.model_validate(told) if isinstance(told, dict) and not _NAMES.isdisjoint(told) else _SILENT
    except orjson.JSONDecodeError:
        problem = "the answer is no readable JSON"
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
