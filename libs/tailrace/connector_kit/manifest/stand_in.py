"""A vendor that a manifest describes, without a network: gives the answers that the manifest says such a vendor gives.

With it, a manifest is tried against itself: whether its parts fit together, and whether the engine is right about each
row. Whether the vendor is as described, only the vendor's own answers show.
"""

import re
from collections import deque
from collections.abc import Collection, Sequence
from urllib.parse import urlsplit

import orjson

from tailrace.connector_kit.http import HttpClient, HttpRequest, HttpResponse
from tailrace.connector_kit.manifest.answer_rules import Then
from tailrace.connector_kit.manifest.attribution import (
    Aligned,
    AllOrNothing,
    Counted,
    FieldIndexes,
    Immediate,
    Indexed,
    Job,
    Keyed,
    Reason,
    Single,
    Traced,
)
from tailrace.connector_kit.manifest.auth import EitherGrant, Granted
from tailrace.connector_kit.manifest.model import Manifest
from tailrace.connector_kit.manifest.parts import ANY, read_json, steps_of
from tailrace.connector_kit.manifest.sent_rows import Sent
from tailrace.connector_kit.manifest.writes import LookedUpKey, Write

OTHER_FIELD = "other_field"
"""A field that every object has besides its key."""

LISTED_OBJECT = "listed_object"
"""The object that the vendor lists."""

CODE = "NOT_TAKEN_HERE"
MESSAGE = "this row is not taken"

_HOLE = re.compile(r"\{[^{}]+\}")

Told = HttpResponse | Exception


class StandIn(HttpClient):
    """Answers questions as the manifest describes them, and writes by the script, the last answer for ever."""

    def __init__(self, manifest: Manifest, write: Write, key_name: str, found: Collection[str] = ()) -> None:
        self.writes: list[HttpRequest] = []
        self.tokens = 0
        self._manifest = manifest
        self._write = write
        self._key_name = key_name
        self._found = found
        self._script: deque[Told] = deque()
        self._later: Sequence[HttpResponse] = ()

    def answer(self, *told: Told, later: Sequence[HttpResponse] = ()) -> None:
        """Set the answers to writes; `later` are those about a job: its state, then its results."""
        self._script = deque(told)
        self._later = later

    async def send(self, request: HttpRequest) -> HttpResponse:
        path = urlsplit(request.url).path
        if self._is_for_a_token(request):
            self.tokens += 1
            return response(200, {"access_token": f"access-token-{self.tokens}", "instance_url": "https://own.example"})
        if self._is_for_ids(path):
            return response(200, self._ids())
        if request.method == "GET" or self._is_a_listing(path):
            return self._asked(path)
        self.writes.append(request)
        told = self._script.popleft() if len(self._script) > 1 else self._script[0]
        if isinstance(told, Exception):
            raise told
        return told

    def _is_for_a_token(self, request: HttpRequest) -> bool:
        asks = b"grant_type=" in request.body
        return asks and isinstance(self._manifest.auth, Granted | EitherGrant)

    def _is_a_listing(self, path: str) -> bool:
        listings = (self._manifest.objects.listing, self._manifest.fields.listing)
        return any(each is not None and each.body is not None and _leads_to(path, each.path) for each in listings)

    def _is_for_ids(self, path: str) -> bool:
        key = self._write.key
        if not isinstance(key, LookedUpKey):
            return False
        return _leads_to(path, key.ask.path) and path != self._write.path

    def _ids(self) -> object:
        key = self._write.key
        if not isinstance(key, LookedUpKey):
            return {}
        at = key.key.replace("{key_name}", self._key_name)
        found = put({}, key.each, [put(put({}, at, each), key.id, f"id-{each}") for each in self._found])
        return found if key.whole is None else put(found, key.whole, True)  # noqa: FBT003 - a value in a document

    def _asked(self, path: str) -> HttpResponse:
        attribution = self._write.attribution
        if isinstance(attribution, Job) and self._later:
            is_result = attribution.results is not None and path.endswith(attribution.results.rpartition("/")[2])
            return self._later[1 if is_result else 0]
        return response(200, self._listed(path))

    def _listed(self, path: str) -> object:
        objects, fields = self._manifest.objects, self._manifest.fields
        if objects.listing is not None and _leads_to(path, objects.listing.path):
            entry = _marked(put(put({}, objects.label, ""), objects.name, LISTED_OBJECT), objects.is_writable)
            for place, text in objects.where.items():
                entry = put(entry, place, text)
            return put({}, objects.listing.each, [entry])
        if fields.listing is None:
            return {}
        key = _marked(put({}, fields.name, self._key_name), fields.is_key)
        other = _marked(put({}, fields.name, OTHER_FIELD), fields.is_writable)
        return put({}, fields.listing.each, [key, other])


def _leads_to(path: str, declared: str) -> bool:
    """Whether a path is a declared one, whatever stands in its holes."""
    words = _HOLE.split(declared.partition("?")[0])
    return re.search("[^/]+".join(map(re.escape, words)) + "$", path) is not None


def _marked(entry: object, path: str | None) -> object:
    return entry if path is None else put(entry, path, True)  # noqa: FBT003 - a value in a document


def said(manifest: Manifest, write: Write, sent: Sequence[Sent], failed: Collection[int]) -> HttpResponse:
    """The answer that says of these rows that some failed; of a job, what its results say."""
    read = write.read
    if failed and isinstance(read, AllOrNothing | Single | Counted):
        return _refused(manifest, read)
    document = _readable(manifest, write, _document(read, sent, failed))
    return response(_status(manifest, write, is_failure=bool(failed)), document)


def submitted(job: Job) -> HttpResponse:
    """The answer that takes a batch for later."""
    return response(200, put({}, job.id, "job-1"))


def state(job: Job, results: HttpResponse) -> HttpResponse:
    """The answer that a job is done, with its results where they have no address of their own."""
    document = read_json(results.body) if job.results is None else {}
    return response(200, put(document, job.state, job.done[0])) if isinstance(document, dict) else results


def response(status: int, document: object) -> HttpResponse:
    """An answer in JSON."""
    return HttpResponse(status, {"content-type": "application/json"}, orjson.dumps(document))


def put(document: object, path: str, value: object) -> object:
    """The document with a value at a path, made where there is nothing."""
    return _put(document, steps_of(path), value)


def _put(document: object, steps: Sequence[str], value: object) -> object:
    if not steps:
        return value
    name, *rest = steps
    if name.isdigit() or name == ANY:
        return [_put({}, rest, value)]
    base = document if isinstance(document, dict) else {}
    return base | {name: _put(base.get(name, {}), rest, value)}


def _document(read: Immediate, sent: Sequence[Sent], failed: Collection[int]) -> object:  # noqa: PLR0911 - a mode each
    match read:
        case Aligned():
            results = [_result(read, row, is_ok=at not in failed) for at, row in enumerate(sent)]
            return put({}, read.results, results if read.key is None else results[::-1])
        case Indexed():
            told = put({}, read.errors, [put(_error(read.reason), read.index, at) for at in sorted(failed)])
            return told if read.taken_count is None else put(told, read.taken_count, len(sent) - len(failed))
        case Traced():
            done = [put({}, read.result_trace, row.trace) for at, row in enumerate(sent) if at not in failed]
            errors = [put(_error(read.reason), read.trace, [sent[at].trace]) for at in sorted(failed)]
            return put(put({}, read.results, done), read.errors, errors)
        case Keyed():
            return _by_key(read, [sent[at].key for at in sorted(failed)])
        case FieldIndexes():
            return put({}, read.at[0], {OTHER_FIELD: sorted(failed)} if failed else {})
        case Counted():
            counted = put({}, read.failed_count, len(failed))
            return counted if read.got_count is None else put(counted, read.got_count, len(sent))
        case AllOrNothing(receipt=str(place)):
            return put({}, place, "receipt-1")
        case AllOrNothing() | Single():
            return {}


def _by_key(read: Keyed, keys: Sequence[str]) -> object:
    document: object = {}
    if read.lists:
        document = put(document, read.lists[0].at, list(keys))
    elif read.errors is not None:
        document = put(document, read.errors, [put(_error(read.reason), read.key, key) for key in keys])
    return document if read.failed_count is None else put(document, read.failed_count, len(keys))


def _readable(manifest: Manifest, write: Write, document: object) -> object:
    """The document with what has to stand in it for an answer to be read at all."""
    for rule in (*write.rules, *manifest.rules):
        if rule.then is Then.READ and rule.at is not None and rule.exists is not False and isinstance(document, dict):
            told = next(iter(rule.holds), "true")
            return put(document, rule.at, {"true": True, "false": False}.get(told, told))
    return document


def _result(read: Aligned, row: Sent, *, is_ok: bool) -> object:
    told = read.ok[0] if is_ok else "not-" + read.ok[0]
    value: object = {"true": True, "not-true": False}.get(told, told)
    result = put({} if is_ok else _error(read.reason), read.status, value)
    return result if read.key is None else put(result, read.key, row.key)


def _error(reason: Reason) -> object:
    return put(put({}, reason.message, MESSAGE), reason.code, CODE)


def _refused(manifest: Manifest, read: Immediate) -> HttpResponse:
    if isinstance(read, Counted):
        return response(200, put({}, read.failed_count, 1))
    status = next((rule.status[0] for rule in manifest.rules if rule.then is Then.REFUSED and rule.at is None), 400)
    return response(status, _error(manifest.refusal))


def _status(manifest: Manifest, write: Write, *, is_failure: bool) -> int:
    """Where a rule lets an answer of failure be read, its status."""
    if not is_failure:
        return 200
    rules = (*write.rules, *manifest.rules)
    reading = [rule.status[0] for rule in rules if rule.then is Then.READ and rule.at is None]
    if isinstance(write.read, FieldIndexes):
        return next((status for status in reading if status >= 400), 400)  # noqa: PLR2004 - the first of the errors
    return next(iter(reading), 200)
