"""The answers are made after Intercom's description of its API, version 2.16, looked at on 2026-11-23."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import orjson
import pytest
import pytest_asyncio

from tailrace.connector_kit.destination import Destination, Target
from tailrace.connector_kit.http import HttpClient, HttpResponse
from tailrace.connector_kit.manifest.engine import destination_of
from tailrace.core.batches import Batch
from tailrace.core.errors import DestinationInvalid, DestinationUnavailable, InDoubt
from tailrace.core.rows import DELIVERED, Operation, Row, RowKey, RowOutcome, Verdict
from tailrace.core.snapshots import hash_row
from tailrace.destinations.intercom import MANIFEST
from tailrace.testing.capability_contract import ListsContract
from tailrace.testing.fake_http import FakeHttp, answer
from tailrace.testing.manifest_contract import ManifestContract
from tailrace.testing.samples import Sample
from tests.destinations.intercom_workspace import TAGS, Workspace, failed

API = "https://api.intercom.io"
SETTINGS = {"token": "made-up-access-token"}
SHOWS = {"Authorization": "Bearer made-up-access-token", "Intercom-Version": "2.16"}
INTERCOM = destination_of(MANIFEST)

OWN: Mapping[str, object] = {
    "email": "A@x.example",
    "email_verified": True,
    "phone": "+353871234567",
    "name": None,
    "avatar": "https://images.example/1.jpeg",
    "owner_id": "321",
    "unsubscribed_from_emails": False,
}
TIMES = {"signed_up_at": "2026-11-22T00:00:00Z", "last_seen_at": "2026-11-22T01:00:00+01:00"}
USER = {"external_id": 42, **OWN, **TIMES, "seats": 1.5, "plan": None}
USER_SENT = {
    "external_id": "42",
    **OWN,
    "signed_up_at": 1795305600,
    "last_seen_at": 1795305600,
    "custom_attributes": {"seats": 1.5, "plan": None},
}
FOUND = answer(200, {"type": "list", "data": [{"id": "c1", "external_id": "42", "email": "a@x.example"}]})
NOBODY = answer(200, {"type": "list", "data": []})
COMPANY = {
    "name": "Blue Sun",
    "plan": "Enterprise",
    "size": 85,
    "website": "https://bluesun.example",
    "industry": "Manufacturing",
    "monthly_spend": 1000,
}
TOLD = {"company_id": 7, **COMPANY, "remote_created_at": "2026-11-22", "rank": None}
EVENT: Mapping[str, object] = {"event_name": "placed-order", "created_at": "2026-11-22T00:00:00.9Z"}
REQUESTS: Mapping[tuple[Operation, str], tuple[str, str, object]] = {
    (Operation.UPSERT, "users"): ("PUT", f"{API}/contacts/c1", {"custom_attributes": {}}),
    (Operation.UPDATE, "users"): ("PUT", f"{API}/contacts/c1", {"custom_attributes": {}}),
    (Operation.DELETE, "users"): ("DELETE", f"{API}/contacts/c1", None),
    (Operation.UPSERT, "tag:T1"): ("POST", f"{API}/contacts/c1/tags", {"id": "T1"}),
    (Operation.DELETE, "tag:T1"): ("DELETE", f"{API}/contacts/c1/tags/T1", None),
}


def by_key(key: str, told: HttpResponse, *entries: object) -> list[Sample]:
    """What is done to the user that is found by a key, for each way to write to users."""
    return [
        Sample(
            about=about,
            object_name=name,
            key=key,
            rows=[{key: "A@1"}],
            answers=[answer(200, {"data": list(entries)}), told],
            means=["delivered"],
            asks=(method, url, {key: "A@1", **body} if isinstance(body, dict) and name == "users" else body),
            shows=SHOWS,
            settings=SETTINGS,
        )
        for (about, name), (method, url, body) in REQUESTS.items()
    ]


def searched(key: str) -> list[Sample]:
    """Who is not there is searched for, and no more; an upsert of a user would make one, and is throttled here."""
    role = {"field": "role", "operator": "=", "value": "user"}
    query = {"operator": "AND", "value": [role, {"field": key, "operator": "=", "value": "7"}]}
    return [
        Sample(
            about=about,
            object_name=name,
            key=key,
            rows=[{key: 7}],
            answers=[answer(429)] if makes else [NOBODY],
            means="RATE_LIMIT:10" if makes else ["delivered" if about is Operation.DELETE else "rejected:NOT_FOUND"],
            asks=("POST", f"{API}/contacts/search", {"query": query}),
            settings=SETTINGS,
        )
        for about, name in REQUESTS
        for makes in [(about, name) == (Operation.UPSERT, "users")]
    ]


def gone() -> list[Sample]:
    """What went between the search and the request is deleted, or else cannot be written."""
    return [
        Sample(
            about=about,
            object_name=name,
            key="email",
            rows=[{"email": "a@x.example"}],
            answers=[FOUND, failed(404, "not_found")],
            means=["delivered" if about is Operation.DELETE else "rejected:not_found"],
            settings=SETTINGS,
        )
        for about, name in REQUESTS
    ]


def user(about: Operation, answers: list[HttpResponse], means: list[str] | str, *, is_new: bool = False) -> Sample:
    asks = ("POST", f"{API}/contacts", {"role": "user", **USER_SENT})
    return Sample(
        about=about,
        object_name="users",
        key="external_id",
        rows=[USER],
        answers=answers,
        means=means,
        asks=asks if is_new else ("PUT", f"{API}/contacts/c1", USER_SENT),
        settings=SETTINGS,
    )


def company(told: HttpResponse, means: list[str] | str) -> Sample:
    sent = {"company_id": "7", **COMPANY, "remote_created_at": 1795305600, "custom_attributes": {"rank": None}}
    return Sample(
        about=Operation.UPSERT,
        object_name="companies",
        key="company_id",
        rows=[TOLD],
        answers=[told],
        means=means,
        asks=("POST", f"{API}/companies", sent),
        settings=SETTINGS,
    )


def event(identity: Mapping[str, object], told: HttpResponse, means: list[str] | str) -> Sample:
    sent = {
        **{name: str(value) for name, value in identity.items() if value is not None},
        "event_name": "placed-order",
        "created_at": 1795305600,
        "metadata": {"price": {"amount": 34999, "currency": "eur"}},
    }
    return Sample(
        about=Operation.INSERT,
        object_name="events",
        rows=[{**identity, **EVENT, "price": {"amount": 34999, "currency": "eur"}}],
        answers=[told],
        means=means,
        asks=("POST", f"{API}/events", sent),
        settings=SETTINGS,
    )


def listed(model: str, *known: str) -> Sample:
    entries = [
        {"name": "id", "full_name": "id", "data_type": "string", "custom": False},
        {"name": "The One Ring", "label": "The One Ring", "data_type": "string", "custom": True},
    ]
    return Sample(
        about="fields",
        object_name="users" if model == "contact" else "companies",
        answers=[answer(200, {"type": "list", "data": entries})],
        means=[*known, "id:read_only", "The One Ring"],
        asks=("GET", f"{API}/data_attributes?model={model}", None),
        shows=SHOWS,
        settings=SETTINGS,
    )


def unmapped(name: str, about: Operation, key: str) -> Sample:
    return Sample(
        about=about,
        object_name=name,
        key=key,
        rows=[{key: "1", **({"created_at": "2026-11-22"} if name == "events" else {})}],
        answers=[answer(200)],
        means="DESTINATION_INVALID",
        settings=SETTINGS,
    )


IN_EUROPE = SETTINGS | {"region": "eu"}
RESET = {"x-ratelimit-limit": "1666", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1487332520"}


class TestIntercom(ManifestContract):
    manifest = MANIFEST
    samples: ClassVar = (
        user(Operation.UPSERT, [FOUND, answer(200, {"id": "c1"})], ["delivered"]),
        user(Operation.UPDATE, [FOUND, answer(200, {"id": "c1"})], ["delivered"]),
        user(Operation.UPSERT, [NOBODY, answer(200, {"id": "c2"})], ["delivered"], is_new=True),
        user(Operation.UPSERT, [NOBODY, failed(409, "conflict")], ["retry:conflict"], is_new=True),
        user(
            Operation.UPSERT, [FOUND, failed(400, "parameter_invalid", "phone")], ["rejected:parameter_invalid:phone"]
        ),
        user(Operation.UPSERT, [FOUND, failed(401, "unauthorized")], "CREDENTIALS_REFUSED"),
        user(Operation.UPSERT, [FOUND, answer(429, b"", RESET)], "RATE_LIMIT:0"),
        user(Operation.UPSERT, [FOUND, answer(429)], "RATE_LIMIT:10"),
        user(Operation.UPSERT, [FOUND, failed(500, "server_error")], "DESTINATION_UNAVAILABLE"),
        *by_key("external_id", answer(200, {}), {"id": "c0", "external_id": "a@1"}, {"id": "c1", "external_id": "A@1"}),
        *by_key("email", answer(200, {}), {"id": "c1", "email": "a@1"}),
        *searched("external_id"),
        *searched("email"),
        *gone(),
        company(answer(200, {"type": "company", "id": "531ee472cce572a6ec000006"}), ["delivered"]),
        company(failed(400, "bad_request"), ["rejected:bad_request"]),
        event({"user_id": 314159, "email": None}, answer(202), ["delivered"]),
        event({"email": "frodo@x.example"}, answer(202), ["delivered"]),
        event({"id": "8a88a590"}, failed(404, "not_found"), ["rejected:not_found"]),
        unmapped("companies", Operation.UPSERT, "name"),
        unmapped("events", Operation.INSERT, "user_id"),
        Sample(
            about="check",
            answers=[answer(200, {"type": "admin"})],
            means=[],
            asks=("GET", f"{API}/me", None),
            settings=SETTINGS,
        ),
        Sample(
            about="objects",
            answers=[TAGS],
            means=["users", "companies", "events", "tag:T1"],
            asks=("GET", "https://api.eu.intercom.io/tags", None),
            settings=IN_EUROPE,
        ),
        listed("contact", "external_id:key", "email:key", *list(OWN)[1:], *TIMES),
        listed("company", "company_id:key", *COMPANY, "remote_created_at"),
        Sample(
            about="fields",
            object_name="events",
            answers=[answer(200)],
            means=["event_name", "created_at", "user_id", "email", "id"],
            settings=SETTINGS,
        ),
    )


async def outcomes(workspace: HttpClient, name: str, about: Operation, row: Mapping[str, object]) -> list[RowOutcome]:
    key = next(iter(row))
    target = Target(name, about, () if about is Operation.INSERT else (key,), tuple(row))
    body = orjson.dumps(row)
    async with INTERCOM.open(INTERCOM.settings_type.model_validate(SETTINGS), workspace) as intercom:
        plan = await intercom.plan(target)
        assert plan.rows_per_batch == 1
        batch = Batch(about, [Row(RowKey((str(row[key]),)), body, hash_row(body))], "batch-1")
        return list((await intercom.write(plan, batch)).outcomes)


async def test_user_is_made_once_and_then_updated_and_a_lead_of_the_same_address_is_left_alone() -> None:
    lead = {"role": "lead", "email": "ada@x.example"}
    workspace, row = Workspace({"lead": lead.copy()}), {"email": "Ada@x.example", "external_id": 7, "plan": "pro"}

    made = await outcomes(workspace, "users", Operation.UPSERT, row)
    updated = await outcomes(workspace, "users", Operation.UPSERT, {"external_id": 7, "plan": None, "name": "Ada"})
    deleted = await outcomes(workspace, "users", Operation.DELETE, {"email": "ada@X.example"})

    assert (made, updated, deleted) == ([DELIVERED],) * 3
    assert workspace.contacts == {"lead": lead}
    assert [asked for asked, _ in workspace.sent if "search" not in asked and "GET" not in asked] == [
        "POST /contacts",
        "PUT /contacts/c1",
        "DELETE /contacts/c1",
    ]


async def test_user_whom_the_search_does_not_see_yet_is_tried_again() -> None:
    workspace = Workspace({"c0": {"role": "user", "external_id": "7"}}, hides_new=True)
    row = {"external_id": 7, "name": "Ada"}

    [hidden] = await outcomes(workspace, "users", Operation.UPSERT, row)
    workspace.hides_new = False
    [seen] = await outcomes(workspace, "users", Operation.UPSERT, row)

    assert (hidden.verdict, hidden.code, seen) == (Verdict.RETRY, "conflict", DELIVERED)
    assert workspace.contacts["c0"]["name"] == "Ada"


@pytest.mark.parametrize(
    ("name", "about", "row"),
    [
        ("companies", Operation.UPSERT, {"company_id": 7, "size": 85, "remote_created_at": "2026-11-22", "plan": "x"}),
        ("events", Operation.INSERT, {"user_id": 7, "event_name": "ordered", "created_at": 1795305600, "sku": "a"}),
    ],
)
async def test_request_is_as_intercom_describes_it(name: str, about: Operation, row: Mapping[str, object]) -> None:
    assert await outcomes(Workspace(), name, about, row) == [DELIVERED]


async def test_answer_that_is_lost_after_the_search_leaves_the_row_in_doubt() -> None:
    http = FakeHttp(answer(200, {"data": []}), FOUND, InDoubt("the answer is lost"))

    with pytest.raises(InDoubt):
        await outcomes(http, "users", Operation.UPSERT, {"external_id": 42})


@pytest.mark.parametrize("told", [answer(200, b"no json"), answer(200, {"data": {}})])
async def test_search_that_makes_no_sense_makes_no_user(told: HttpResponse) -> None:
    http = FakeHttp(answer(200, {"data": []}), told)

    with pytest.raises(DestinationUnavailable):
        await outcomes(http, "users", Operation.UPSERT, {"external_id": 42})

    assert [request.method for request in http.requests] == ["GET", "POST"]


@pytest.mark.parametrize(
    ("name", "about", "told"),
    [("companies", Operation.DELETE, "takes no delete"), ("leads", Operation.UPSERT, "there are companies, events")],
)
async def test_target_that_is_not_offered_is_refused(name: str, about: Operation, told: str) -> None:
    with pytest.raises(DestinationInvalid, match=told):
        await outcomes(Workspace(), name, about, {"company_id": "7"})


@dataclass(frozen=True)
class Rig:
    destination: Destination
    workspace: Workspace
    list_name: str = "tag:T1"
    key_name: str = "email"

    async def members(self) -> set[str]:
        return {self.workspace.contacts[own]["email"] for own in self.workspace.tagged}


@pytest_asyncio.fixture
async def lists_rig() -> AsyncIterator[Rig]:
    workspace = Workspace({name: {"role": "user", "email": name} for name in ("ada", "bob")})
    settings = INTERCOM.settings_type.model_validate(SETTINGS | {"rows_per_batch": 50})
    async with INTERCOM.open(settings, workspace) as intercom:
        yield Rig(intercom, workspace)


class TestTags(ListsContract):
    """Intercom's, which take one user a request whatever the settings say."""
