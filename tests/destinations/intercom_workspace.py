"""A workspace of Intercom in memory; it takes no request that Intercom's description, version 2.16, does not have.

https://github.com/intercom/Intercom-OpenAPI, looked at on 2026-11-23; the schemas are written down by hand.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import orjson

from tailrace.connector_kit.http import HttpClient, HttpRequest, HttpResponse
from tailrace.testing.fake_http import answer
from tests.destinations.described import TEXT, Json, record

TAGS = answer(200, {"type": "list", "data": [{"type": "tag", "id": "T1", "name": "VIP"}]})
OR_NULL: Json = {"type": ["string", "null"]}
SECONDS: Json = {"type": ["integer", "null"]}
CUSTOM: Json = {"type": "object"}
CONTACT: dict[str, Json] = {
    "external_id": TEXT,
    "email": TEXT,
    "email_verified": {"type": ["boolean", "null"]},
    **dict.fromkeys(("phone", "name", "avatar", "owner_id"), OR_NULL),
    "signed_up_at": SECONDS,
    "last_seen_at": SECONDS,
    "unsubscribed_from_emails": {"type": ["boolean", "null"]},
    "custom_attributes": CUSTOM,
}
FILTER = record({"field": TEXT, "operator": {"enum": ["=", "!=", "IN", "NIN"]}, "value": TEXT}, "field", "operator")
QUERY = record({"operator": {"enum": ["AND", "OR"]}, "value": {"type": "array", "items": FILTER, "maxItems": 15}})
COMPANY_SENT = record(
    {
        "company_id": TEXT,
        **dict.fromkeys(("name", "plan", "website", "industry"), TEXT),
        **dict.fromkeys(("size", "monthly_spend", "remote_created_at"), SECONDS),
        "custom_attributes": CUSTOM,
    },
    "company_id",
)
EVENT_SENT = record(
    {**dict.fromkeys(("event_name", "user_id", "email", "id"), TEXT), "created_at": SECONDS, "metadata": CUSTOM},
    "event_name",
    "created_at",
) | {"anyOf": [{"required": [name]} for name in ("user_id", "email", "id")]}
NEW_CONTACT = record({"role": {"enum": ["user", "lead"]}, **CONTACT})
DESCRIBED: Mapping[tuple[str, str], Json | None] = {
    ("POST", "/contacts/search"): record({"query": QUERY}, "query"),
    ("POST", "/contacts"): NEW_CONTACT | {"anyOf": [{"required": [name]} for name in ("email", "external_id", "role")]},
    ("PUT", "/contacts/[^/]+"): NEW_CONTACT,
    ("DELETE", "/contacts/[^/]+"): None,
    ("POST", "/contacts/[^/]+/tags"): record({"id": TEXT}, "id"),
    ("DELETE", "/contacts/[^/]+/tags/[^/]+"): None,
    ("POST", "/companies"): COMPANY_SENT,
    ("POST", "/events"): EVENT_SENT,
    ("GET", "/data_attributes"): None,
    ("GET", "/tags"): None,
}


def failed(status: int, code: str, named: str | None = None) -> HttpResponse:
    error = {"code": code, "message": "no", "field": named}
    return answer(status, {"type": "error.list", "request_id": None, "errors": [error]})


@dataclass
class Workspace(HttpClient):
    """Intercom in memory, which takes no request that its description does not have."""

    contacts: dict[str, dict[str, Any]] = field(default_factory=dict)
    tagged: set[str] = field(default_factory=set)
    sent: list[tuple[str, object]] = field(default_factory=list)
    hides_new: bool = False

    async def send(self, request: HttpRequest) -> HttpResponse:
        path = urlsplit(request.url).path
        schema = next(
            held for (method, form), held in DESCRIBED.items() if method == request.method and re.fullmatch(form, path)
        )
        assert (schema is None) == (request.body == b"")
        told = {} if schema is None else orjson.loads(request.body)
        jsonschema.validate(told, schema or {})
        self.sent.append((f"{request.method} {path}", told))
        match request.method, path.split("/")[1:]:
            case "POST", ["contacts", "search"]:
                return self._found(told["query"]["value"])
            case "POST", ["contacts"]:
                return self._made(told)
            case "PUT", ["contacts", own]:
                self.contacts[own] |= told
            case "DELETE", ["contacts", own]:
                del self.contacts[own]
            case ("POST", ["contacts", own, "tags"]) | ("DELETE", ["contacts", own, "tags", _]):
                (self.tagged.add if told else self.tagged.discard)(own)
            case "GET", [name]:
                return TAGS if name == "tags" else answer(200, {"data": [{"name": "plan", "custom": True}]})
            case "POST", ["events"]:
                return answer(202)
        return answer(200, {})

    def _found(self, filters: list[dict[str, str]]) -> HttpResponse:
        wanted = [(each["field"], each["value"].lower()) for each in filters]
        entries = [
            {"id": own, **held}
            for own, held in self.contacts.items()
            if all(str(held.get(name, "")).lower() == value for name, value in wanted)
        ]
        return answer(200, {"type": "list", "data": [] if self.hides_new else entries})

    def _made(self, told: dict[str, Any]) -> HttpResponse:
        keys = ("external_id", "email")
        if any(held.get(key) == told[key] for held in self.contacts.values() for key in keys if key in told):
            return failed(409, "conflict")
        self.contacts[f"c{len(self.contacts)}"] = told
        return answer(200, {})
