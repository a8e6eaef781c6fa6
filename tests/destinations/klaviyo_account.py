"""An account of Klaviyo in memory; it takes no request that Klaviyo's description, revision 2026-07-15, does not have.

https://github.com/klaviyo/openapi, looked at on 2026-11-23; the schemas are written down by hand.
"""

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import jsonschema

from tailrace.connector_kit.http import HttpClient, HttpRequest, HttpResponse
from tailrace.testing.fake_http import Answer, answer
from tests.destinations.described import TEXT, Json, record

API_KEY = "pk_made_up_private_key"
ADDRESS = "https://a.klaviyo.com"
JOBS = "/api/profile-bulk-import-jobs"
PAGE = 2
"""Errors on a page, so that a few are several pages."""

OR_NULL: Json = {"type": ["string", "null"]}
KEYS = dict.fromkeys(("external_id", "email", "phone_number"), OR_NULL)
TEXTS = dict.fromkeys(("first_name", "last_name", "organization", "locale", "title", "image"), OR_NULL)
LOCATION = record(
    {
        **dict.fromkeys(("address1", "address2", "city", "country", "region", "zip", "timezone", "ip"), OR_NULL),
        "latitude": {"type": ["string", "number", "null"]},
        "longitude": {"type": ["string", "number", "null"]},
    }
)
ATTRIBUTES = record({**KEYS, **TEXTS, "location": LOCATION, "properties": {"type": ["object", "null"]}})


def resource(kind: str, attributes: Json) -> Json:
    return record({"type": {"const": kind}, "attributes": attributes}, "type", "attributes")


def documents(listed: Json, most: int) -> Json:
    return record({"data": {"type": "array", "items": listed, "minItems": 1, "maxItems": most}}, "data")


def document(held: Json) -> Json:
    return record({"data": held}, "data")


METRIC = document(resource("metric", record({"name": TEXT | {"maxLength": 127}}, "name")))
EVENT = record(
    {
        "time": {"type": "string", "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"},
        "value": {"type": ["number", "null"]},
        "value_currency": OR_NULL,
        "backfill": {"type": ["boolean", "null"]},
        "properties": {"type": "object"},
        "metric": METRIC,
        "unique_id": OR_NULL,
    },
    "properties",
    "metric",
)
EVENTS = record(
    {"profile": document(resource("profile", ATTRIBUTES)), "events": documents(resource("event", EVENT), 1000)},
    "profile",
    "events",
)
PROFILES = record({"profiles": documents(resource("profile", ATTRIBUTES), 10_000)}, "profiles")
BULK_EVENTS = record(
    {"events-bulk-create": documents(resource("event-bulk-create", EVENTS), 1000)}, "events-bulk-create"
)
MEMBERS = documents(record({"type": {"const": "profile"}, "id": TEXT}, "type", "id"), 1000)

DESCRIBED: Sequence[tuple[str, str, Json | None, int]] = (
    ("POST", "/api/profile-import", document(resource("profile", ATTRIBUTES)), 100_000),
    ("POST", JOBS, document(resource("profile-bulk-import-job", PROFILES)), 5_000_000),
    ("GET", f"{JOBS}/[^/]+", None, 0),
    ("GET", f"{JOBS}/[^/]+/import-errors", None, 0),
    ("POST", "/api/event-bulk-create-jobs", document(resource("event-bulk-create-job", BULK_EVENTS)), 5_000_000),
    ("GET", "/api/lists", None, 0),
    ("GET", "/api/profiles", None, 0),
    ("POST", "/api/lists/[^/]+/relationships/profiles", MEMBERS, 5_000_000),
    ("DELETE", "/api/lists/[^/]+/relationships/profiles", MEMBERS, 5_000_000),
)


def refuse_what_is_not_described(request: HttpRequest) -> None:
    """Return if Klaviyo's description has such a request.

    :raises AssertionError, ValidationError: it has not.
    """
    path = urlsplit(request.url).path
    [(body, most)] = [
        (body, most)
        for method, pattern, body, most in DESCRIBED
        if method == request.method and re.fullmatch(pattern, path)
    ]
    assert request.headers["revision"] == "2026-07-15"
    assert request.headers["Accept"] == request.headers["Content-Type"] == "application/vnd.api+json"
    assert request.headers["Authorization"] == f"Klaviyo-API-Key {API_KEY}"
    assert len(request.body) <= most
    if body is not None:
        jsonschema.validate(json.loads(request.body), body)


def refused(detail: str, pointer: str = "/data") -> HttpResponse:
    error = {"id": "e1", "code": "invalid", "title": "Invalid input.", "detail": detail, "source": {"pointer": pointer}}
    return answer(400, {"errors": [error]})


@dataclass
class Account(HttpClient):
    """Keeps profiles by their external id; `Mallory` it does not take. An import leaves NULLs out."""

    profiles: dict[str, Json] = field(default_factory=dict)
    lists: dict[str, set[str]] = field(default_factory=lambda: {"L1": set()})
    events: list[Json] = field(default_factory=list)
    jobs: dict[str, Json] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    looks_until_done: int = 0
    names_rows_by: str = "payload"
    counts: Json = field(default_factory=dict)
    _instead: dict[tuple[str, str], list[Answer]] = field(default_factory=lambda: defaultdict(list))

    def override(self, method: str, path: str, *answers: Answer) -> None:
        """Give these answers to the next such requests, which do nothing."""
        self._instead[method, path] += answers

    async def send(self, request: HttpRequest) -> HttpResponse:
        refuse_what_is_not_described(request)
        address = urlsplit(request.url)
        call = (request.method, address.path)
        self.calls.append(call)
        if self._instead[call]:
            given = self._instead[call].pop(0)
            if isinstance(given, Exception):
                raise given
            return given if isinstance(given, HttpResponse) else given(request)
        sent = json.loads(request.body) if request.body else {}
        return self._answer(call, parse_qs(address.query), sent)

    def asked(self, method: str, path: str) -> int:
        return self.calls.count((method, path))

    def _answer(self, call: tuple[str, str], query: dict[str, list[str]], sent: Json) -> HttpResponse:
        match call[0], call[1].removeprefix("/api/").split("/"):
            case "POST", ["profile-import"]:
                return self._import(sent["data"]["attributes"])
            case "POST", ["profile-bulk-import-jobs"]:
                return self._submit([each["attributes"] for each in sent["data"]["attributes"]["profiles"]["data"]])
            case "GET", ["profile-bulk-import-jobs", job_id, *more]:
                first = int(query.get("page[cursor]", ["0"])[0])
                return self._errors(job_id, first) if more else self._state(job_id)
            case "POST", ["event-bulk-create-jobs"]:
                self.events += [each["attributes"] for each in sent["data"]["attributes"]["events-bulk-create"]["data"]]
            case "GET", [what]:
                return self._listed() if what == "lists" else self._found(query["filter"][0])
            case method, ["lists", name, *_]:
                self._change(method, self.lists[name], {each["id"] for each in sent["data"]})
        return answer(202 if call[1].endswith("jobs") else 204)

    def _listed(self) -> HttpResponse:
        listed = [{"type": "list", "id": name, "attributes": {"name": "Ours"}} for name in self.lists]
        return answer(200, {"data": listed, "links": {"self": ADDRESS, "next": None}})

    def _change(self, method: str, members: set[str], ids: set[str]) -> None:
        (members.difference_update if method == "DELETE" else members.update)(ids)

    def _import(self, told: Json) -> HttpResponse:
        if told.get("first_name") == "Mallory":
            return refused("not this one", "/data/attributes/first_name")
        self._take(told)
        return answer(200, {"data": {"type": "profile", "id": f"id-{told['external_id']}"}})

    def _take(self, told: Json) -> None:
        held = self.profiles.setdefault(told["external_id"], {"properties": {}})
        properties = {**held["properties"], **told["properties"]}
        held |= {**told, "properties": properties}

    def _submit(self, told: list[Json]) -> HttpResponse:
        job_id = f"job-{len(self.jobs)}"
        failed = [at for at, each in enumerate(told) if each.get("first_name") == "Mallory"]
        for at, each in enumerate(told):
            if at not in failed:
                self._take({name: value for name, value in each.items() if value is not None})
        errors = [self._error(at, told[at]) for at in reversed(failed)]
        counts = {"total_count": len(told), "completed_count": len(told), "failed_count": len(failed)}
        self.jobs[job_id] = {"counts": counts | self.counts, "errors": errors, "looks": 0}
        return answer(202, {"data": {"type": "profile-bulk-import-job", "id": job_id}})

    def _error(self, at: int, told: Json) -> Json:
        is_by_pointer = self.names_rows_by == "pointer"
        pointer = f"/data/attributes/profiles/data/{at}/attributes/first_name" if is_by_pointer else "/data"
        payload: Json | None = {"payload": told, "resource": {"type": "profile", "attributes": told}}.get(
            self.names_rows_by
        )
        why = {"code": "invalid", "title": "Invalid input", "detail": "not this one", "source": {"pointer": pointer}}
        return {"type": "import-error", "id": f"error-{at}", "attributes": why | {"original_payload": payload}}

    def _state(self, job_id: str) -> HttpResponse:
        job = self.jobs[job_id]
        job["looks"] += 1
        status = job.get("status") or ("complete" if job["looks"] > self.looks_until_done else "processing")
        return answer(200, {"data": {"id": job_id, "attributes": {"status": status, **job["counts"]}}})

    def _errors(self, job_id: str, first: int) -> HttpResponse:
        errors = self.jobs[job_id]["errors"]
        more = f"{ADDRESS}{JOBS}/{job_id}/import-errors?page%5Bcursor%5D={first + PAGE}"
        links = {"self": ADDRESS, "next": more if first + PAGE < len(errors) else None}
        return answer(200, {"data": errors[first : first + PAGE], "links": links})

    def _found(self, asked: str) -> HttpResponse:
        [(name, listed)] = re.findall(r"any\((\w+),(\[.*\])\)", asked)
        held = {profile.get(name): own for own, profile in self.profiles.items()}
        found = [key for key in json.loads(listed) if key in held]
        data = [{"type": "profile", "id": f"id-{held[key]}", "attributes": {name: key}} for key in found]
        return answer(200, {"data": data, "links": {"self": ADDRESS, "next": None}})
