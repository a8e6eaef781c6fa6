"""The CRM of the demo: takes batches of contacts over HTTP, and refuses what a real one would refuse, row by row."""

import re
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tailrace.embedded.ports import LOOPBACK

OBJECT = "contacts"
INVALID_EMAIL = "INVALID_EMAIL"
REQUIRED_FIELD_MISSING = "REQUIRED_FIELD_MISSING"

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_REQUIRED = ("external_id", "email", "name")
_MOST_CONTACTS = 100_000
_MOST_ROWS = 1_000
_MOST_BYTES = 2 * 1024 * 1024

Contact = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a contact is not taken."""

    code: str
    message: str
    field: str


@dataclass(slots=True)
class Crm:
    """A CRM that listens, what it holds, and how it is spoken to."""

    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    contacts: dict[str, Contact] = field(default_factory=dict)
    requests: int = 0
    url: str = ""


class _Batch(BaseModel):
    model_config = ConfigDict(extra="ignore")

    object: str
    operation: str
    rows: Annotated[list[dict[str, Any]], Field(max_length=_MOST_ROWS)]


def refusal(contact: Contact) -> Refusal | None:
    """Why the CRM refuses a contact; None if it takes it."""
    for name in _REQUIRED:
        if contact.get(name) in {None, ""}:
            return Refusal(REQUIRED_FIELD_MISSING, f"{name} is required", name)
    if not _EMAIL.fullmatch(str(contact["email"])):
        return Refusal(INVALID_EMAIL, "bad format for field email", "email")
    return None


@asynccontextmanager
async def open_crm() -> AsyncIterator[Crm]:
    """A CRM on a free port of loopback, for as long as the scope lasts."""
    crm = Crm()
    runner = web.AppRunner(_app(crm), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, 0).start()
        crm.url = f"http://{LOOPBACK}:{runner.addresses[0][1]}"
        yield crm
    finally:
        await runner.cleanup()


def _app(crm: Crm) -> web.Application:
    async def take(request: web.Request) -> web.Response:
        crm.requests += 1
        if request.headers.get("Authorization") != f"Bearer {crm.token}":
            return _told(401, {"error": "give the CRM's token"})
        try:
            batch = _Batch.model_validate_json(await request.read())
        except ValidationError as error:
            return _told(422, {"error": f"{error.error_count()} faults in the batch"})
        if len(crm.contacts) + len(batch.rows) > _MOST_CONTACTS:
            return _told(507, {"error": "the CRM is full"})
        return _told(200, {"results": [_settled(crm, batch.operation, row) for row in batch.rows]})

    async def show(request: web.Request) -> web.Response:
        contact = crm.contacts.get(request.match_info["external_id"])
        return _told(404, {"error": "no such contact"}) if contact is None else _told(200, contact)

    app = web.Application(client_max_size=_MOST_BYTES)
    app.router.add_post(f"/{OBJECT}/batch", take)
    app.router.add_get(f"/{OBJECT}/{{external_id}}", show)
    return app


def _settled(crm: Crm, operation: str, row: Contact) -> dict[str, object]:
    if operation == "delete":
        crm.contacts.pop(str(row.get("external_id")), None)
        return {"status": "ok"}
    refused = refusal(row)
    if refused is not None:
        return {"status": "rejected", "code": refused.code, "message": refused.message, "field": refused.field}
    crm.contacts[str(row["external_id"])] = row
    return {"status": "ok"}


def _told(status: int, body: Mapping[str, Any]) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")
