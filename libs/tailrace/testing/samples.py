"""What a vendor documents: a request and its answer, with what they mean for rows; and manifests with a fault each.

Samples tie a manifest to the vendor. Whether they are enough is measured: a manifest in which one thing was changed
must disagree with some sample, or nobody would notice that thing being wrong.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import orjson
from pydantic import BaseModel

from tailrace.connector_kit.destination import Field, Target, WritePlan
from tailrace.connector_kit.http import HttpClient, HttpRequest, HttpResponse
from tailrace.connector_kit.manifest.engine import ManifestDestination
from tailrace.connector_kit.manifest.model import Manifest
from tailrace.connector_kit.manifest.parts import MISSING, read_json
from tailrace.connector_kit.manifest.targets import check_target
from tailrace.core.batches import Batch
from tailrace.core.errors import TailraceError, Throttled
from tailrace.core.rows import Operation, Row, RowKey, RowOutcome, Verdict
from tailrace.core.snapshots import hash_row

_BATCH_ID = "sample00"
_NO_LIMIT = 1 << 30
_JUDGED = (
    "base_url",
    "headers",
    "auth",
    "check",
    "objects",
    "fields",
    "operations",
    "kinds",
    "rules",
    "refusal",
    "throttles",
    "encoding",
)
_LEFT = frozenset(
    {"kind", "source", "checked", "at_most", "max_rows", "max_size", "is_idempotent", "message", "label", "every_s"}
    | {"description", "data_type", "kinds", "token_url", "scope", "bucket", "example"}
)


@dataclass(frozen=True, slots=True)
class Sample:
    """A question or rows, the answers to the requests that this makes, and what must come of it.

    `asks` is what the last request must be: method, address and JSON; `shows` are headers that it must have. The trace
    id of row n is `sample00-n`. `means` has a word for each row, `delivered`, `rejected:CODE` or `rejected:CODE:FIELD`;
    for each field, its name and `:key` or `:read_only`; for each object the same; or it is the code of an error, with
    the seconds to wait.
    """

    about: Operation | Literal["check", "objects", "fields"]
    answers: Sequence[HttpResponse]
    means: Sequence[str] | str
    object_name: str = ""
    rows: Sequence[Mapping[str, object]] = ()
    asks: tuple[str, str, object] | None = None
    shows: Mapping[str, str] = field(default_factory=dict)
    key: str = "id"
    settings: Mapping[str, object] = field(default_factory=dict)


class Recorded(HttpClient):
    """Gives the answers of a sample, one a request, and keeps the requests."""

    def __init__(self, answers: Sequence[HttpResponse]) -> None:
        self.requests: list[HttpRequest] = []
        self._answers = answers

    async def send(self, request: HttpRequest) -> HttpResponse:
        self.requests.append(request)
        return self._answers[min(len(self.requests), len(self._answers)) - 1]


async def disagreement(connector: type[ManifestDestination], sample: Sample) -> str | None:
    """What the sample says and the destination does not; None where they agree."""
    http = Recorded(sample.answers)
    settings = connector.settings_type.model_validate(sample.settings)
    try:
        async with connector.open(settings, http) as destination:
            means: Sequence[str] | str = await _meaning(destination, sample)
    except TailraceError as error:
        means = _code(error)
    last = http.requests[-1] if http.requests else HttpRequest("", "")
    if sample.asks is not None and _asked(last) != sample.asks:
        return f"asks {_asked(last)}, not {sample.asks}"
    if not sample.shows.items() <= last.headers.items():
        return f"shows {sorted(last.headers)} and not {sorted(sample.shows)}, or with other values"
    return None if means == sample.means else f"means {means}, not {sample.means}"


def mutants(manifest: Manifest) -> Iterator[tuple[str, Manifest]]:
    """The manifest with one thing changed at a time, with the name of what was changed."""
    for name in _JUDGED:
        for place, changed in _changed(getattr(manifest, name)):
            yield f"{name}{place}", manifest.model_copy(update={name: changed})


def _changed(value: object) -> Iterator[tuple[str, object]]:  # noqa: C901 - a kind of value each
    match value:
        case BaseModel():
            for name in value.model_fields_set - _LEFT:
                for place, changed in _changed(getattr(value, name)):
                    yield f".{name}{place}", value.model_copy(update={name: changed})
        case bool() | None:
            return
        case str() if value:
            yield "", value[:-1] + ("x" if value[-1] != "x" else "y")
        case float() | int():
            yield "", value + 1
        case Mapping():
            for name in value:
                yield f".{name} left out", {key: kept for key, kept in value.items() if key != name}
                for place, changed in _changed(value[name]):
                    yield f".{name}{place}", {**value, name: changed}
        case tuple() | list():
            for at, each in enumerate(value):
                yield f".{at} left out", type(value)(kept for n, kept in enumerate(value) if n != at)
                for place, changed in _changed(each):
                    yield f".{at}{place}", type(value)(changed if n == at else kept for n, kept in enumerate(value))


async def _meaning(destination: ManifestDestination, sample: Sample) -> Sequence[str]:
    match sample.about:
        case "check":
            await destination.check()
            return []
        case "objects":
            return [found.name + ("" if found.writable else ":read_only") for found in await destination.objects()]
        case "fields":
            return [_field(found) for found in await destination.fields(sample.object_name)]
    bodies = [orjson.dumps(row) for row in sample.rows]
    keys = [RowKey((str(row.get(sample.key)),)) for row in sample.rows]
    rows = [Row(key, body, hash_row(body)) for key, body in zip(keys, bodies, strict=True)]
    names = tuple(dict.fromkeys(name for row in sample.rows for name in row))
    target = Target(sample.object_name, sample.about, (sample.key,), names)
    check_target(destination.manifest.family_of(target.object_name), target, ())
    plan = WritePlan(target, _NO_LIMIT, _NO_LIMIT, is_idempotent=True)
    written = await destination.write(plan, Batch(sample.about, rows, _BATCH_ID))
    return [_word(outcome) for outcome in written.outcomes]


def _field(found: Field) -> str:
    return found.name + (":key" if found.external_id else "") + ("" if found.updateable else ":read_only")


def _word(outcome: RowOutcome) -> str:
    told = [outcome.code, outcome.field or ""] if outcome.verdict is not Verdict.DELIVERED else []
    return ":".join([outcome.verdict, *filter(None, told)])


def _code(error: TailraceError) -> str:
    wait_s = error.retry_after_s if isinstance(error, Throttled) else None
    return error.code if wait_s is None else f"{error.code}:{wait_s:g}"


def _asked(request: HttpRequest) -> tuple[str, str, object]:
    document = read_json(request.body)
    return request.method, request.url, None if document is MISSING else document
