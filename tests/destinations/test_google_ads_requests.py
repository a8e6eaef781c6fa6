"""Audiences in memory that take what Google describes, members and all; signed in to by a service account."""

from base64 import urlsafe_b64decode
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from urllib.parse import parse_qs

import jsonschema
import orjson
import pytest

from tailrace.connector_kit.capabilities import Capability, capabilities_of
from tailrace.connector_kit.destination import Target
from tailrace.connector_kit.google_accounts import TOKENS
from tailrace.connector_kit.http import HttpRequest, HttpResponse
from tailrace.connector_kit.manifest.attribution import NOT_VERIFIED
from tailrace.connector_kit.registry import validate_settings
from tailrace.core.batches import Batch, BatchResult
from tailrace.core.errors import BatchRefused, CredentialsRefused, DestinationUnavailable, InDoubt, Invalid
from tailrace.core.rows import Operation, Row, RowKey, RowOutcome, Verdict
from tailrace.core.snapshots import hash_row
from tailrace.destinations.google_ads import SCOPE, GoogleAdsDestination, GoogleAdsSettings
from tailrace.testing.destination_contract import failure_of, told
from tailrace.testing.fake_http import FakeHttp, answer
from tests.destinations.google_discovery import Description
from tests.destinations.test_google_sheets_destination import rsa_key

DATA_MANAGER = Description("datamanager.v1", "UserIdentifier")
ACCOUNT = {"client_email": "robot@project.example", "private_key": rsa_key()}
LISTS = {"7": "CONTACT_ID", "8": "MOBILE_ID", "9": "USER_ID"}
MALFORMED = {
    "error": {
        "code": 400,
        "message": "There was a problem with the request.",
        "status": "INVALID_ARGUMENT",
        "details": [
            {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "INVALID_ARGUMENT"},
            {
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [{"field": "audience_members", "reason": "INVALID_AUDIENCE_MEMBER"}],
            },
        ],
    }
}


class Audiences(FakeHttp):
    """Keeps to Google's description of each call; members are known by any of their identifiers."""

    def __init__(self, *refused: str) -> None:
        super().__init__(self._told)
        self.members: dict[str, set[str]] = {number: set() for number in LISTS}
        self.tokens = 0
        self.ended: set[str] = set()
        self.trouble: HttpResponse | Exception | None = None
        self._refused = set(refused)

    def _told(self, request: HttpRequest) -> HttpResponse:
        if request.url == TOKENS:
            self.tokens += 1
            return answer(200, {"access_token": f"token-{self.tokens}", "expires_in": 3599})
        if request.headers["Authorization"] in self.ended:
            return answer(401, {"error": {"status": "UNAUTHENTICATED"}})
        if isinstance(self.trouble, Exception):
            raise self.trouble
        given = self.trouble or (self._listed() if request.method == "GET" else self._changed(request))
        if given.is_success:
            DATA_MANAGER.refuse_what_is_not(request, given, SCOPE)
        return given

    def _listed(self) -> HttpResponse:
        lists = [
            {"id": number, "displayName": kind, "ingestedUserListInfo": {"uploadKeyTypes": [kind]}}
            for number, kind in LISTS.items()
        ]
        return answer(200, {"userLists": lists})

    def _changed(self, request: HttpRequest) -> HttpResponse:
        body = orjson.loads(request.body)
        [destination] = body["destinations"]
        found = {name for member in body["audienceMembers"] for name in _names(member)}
        if found & self._refused:
            return answer(400, MALFORMED)
        if body.get("validateOnly"):
            return answer(200, {})
        members = self.members[destination["productDestinationId"]]
        members.update(found) if request.url.endswith(":ingest") else members.difference_update(found)
        return answer(200, {"requestId": "r1"})

    @property
    def changes(self) -> Sequence[HttpRequest]:
        return [request for request in self.requests if "audienceMembers:" in request.url]


def _names(held: object) -> Iterator[str]:
    """Every text of a member's identity."""
    match held:
        case str():
            yield held
        case list():
            yield from (name for each in held for name in _names(each))
        case dict():
            yield from (name for key, each in held.items() if key != "consent" for name in _names(each))


def hashed(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def settings(**more: object) -> GoogleAdsSettings:
    given = {
        "customer_id": "123-456-7890",
        "service_account": orjson.dumps(ACCOUNT).decode(),
        "customer_match_terms": "accepted",
    }
    return validate_settings(GoogleAdsSettings, given | more)


async def put(
    http: Audiences, operation: Operation, *rows: Mapping[str, object], object_name: str = "7", **more: object
) -> Sequence[RowOutcome]:
    """The outcomes of rows, whose first field is the key."""
    async with GoogleAdsDestination.open(settings(**more), http) as destination:
        plan = await destination.plan(target(operation, object_name, *rows))
        written: BatchResult = await destination.write(plan, batch(operation, *rows))
    return written.outcomes


def target(operation: Operation, object_name: str, *rows: Mapping[str, object]) -> Target:
    names = tuple(dict.fromkeys(name for row in rows for name in row))
    return Target(object_name, operation, names[:1], names)


def batch(operation: Operation, *rows: Mapping[str, object]) -> Batch:
    bodies = [orjson.dumps(row) for row in rows]
    keys = [RowKey((str(next(iter(row.values()))),)) for row in rows]
    return Batch(
        operation, [Row(key, body, hash_row(body)) for key, body in zip(keys, bodies, strict=True)], "batch-77"
    )


async def test_members_are_added_and_taken_out_as_google_describes_it() -> None:
    http = Audiences()

    added = await put(http, Operation.UPSERT, {"email": "Ada@example.com"}, {"email": "bob@example.com"})
    removed = await put(http, Operation.DELETE, {"email": "ada@example.com "})

    assert (added, removed) == ([NOT_VERIFIED] * 2, [NOT_VERIFIED])
    assert http.members["7"] == {hashed("bob@example.com")}


@pytest.mark.parametrize(
    ("object_name", "key", "value"),
    [("mobile:8", "mobile_id", "38400000-8cf0-11bd-b23e-10b96e40000d"), ("user:9", "user_id", 4711)],
)
async def test_member_known_by_an_id_is_sent_in_clear(object_name: str, key: str, value: object) -> None:
    http = Audiences()

    await put(http, Operation.UPSERT, {key: value, "ad_user_data": True}, object_name=object_name)

    [request] = http.changes
    assert str(value) in request.body.decode()
    assert hashed(str(value)) not in request.body.decode()


@pytest.mark.parametrize(
    ("object_name", "row", "name"),
    [
        ("7", {"email": ["ada@example.com"]}, "email"),
        ("7", {"email": "ada@example.com", "postal_code": {"zip": "8001"}}, "postal_code"),
        ("mobile:8", {"mobile_id": ["a", "b"]}, "mobile_id"),
        ("user:9", {"user_id": {"id": 7}}, "user_id"),
    ],
)
async def test_list_or_object_is_nobody(object_name: str, row: Mapping[str, object], name: str) -> None:
    http = Audiences()

    [outcome] = await put(http, Operation.UPSERT, row, object_name=object_name)

    assert (outcome.code, outcome.message) == ("NOT_REPRESENTABLE", f"{name}: the value is a list or an object")
    assert http.changes == []


@pytest.mark.parametrize("operation", [Operation.UPSERT, Operation.DELETE])
async def test_nobody_goes_by_the_rest_where_the_key_is_blank(operation: Operation) -> None:
    http = Audiences()

    [outcome] = await put(http, operation, {"email": "  ", "phone": "+41 79 123 45 67"})

    assert (outcome.code, http.changes) == ("EMPTY_KEY", [])


@pytest.mark.parametrize("region", ["12", "ßa", "é1", "USA"])
async def test_region_is_two_letters(region: str) -> None:
    http = Audiences()
    address = {"given_name": "Ada", "family_name": "King", "region_code": region, "postal_code": "8001"}

    [outcome] = await put(http, Operation.UPSERT, {"email": "ada@example.com", **address})

    assert outcome.message == "region_code: the value is not a country's code of two letters"
    assert http.changes == []


async def test_connection_says_who_signs_in_and_what_was_agreed_to() -> None:
    http = Audiences()
    agreed = {"ad_user_data": "granted", "ad_personalization": "denied"}

    row = {"email": "ada@example.com", "phone": "079 123 45 67", "ad_user_data": False}
    await put(http, Operation.UPSERT, row, login_customer_id="9876543210", phone_region="CH", **agreed)

    [listing] = [request for request in http.requests if request.method == "GET"]
    body = orjson.loads(http.changes[0].body)
    assert listing.headers["login-account"] == "accountTypes/GOOGLE_ADS/accounts/9876543210"
    assert "login-account" not in http.changes[0].headers
    assert body["destinations"][0]["loginAccount"] == {"accountType": "GOOGLE_ADS", "accountId": "9876543210"}
    assert body["consent"] == {"adUserData": "CONSENT_GRANTED", "adPersonalization": "CONSENT_DENIED"}
    assert body["audienceMembers"][0]["consent"] == {
        "adUserData": "CONSENT_DENIED",
        "adPersonalization": "CONSENT_DENIED",
    }
    assert http.members["7"] == {hashed("ada@example.com"), hashed("+41791234567")}


async def test_assertion_claims_the_scope_for_the_service_account() -> None:
    http = Audiences()

    async with GoogleAdsDestination.open(settings(), http) as destination:
        await destination.check()

    [assertion] = parse_qs(http.requests[0].body.decode())["assertion"]
    claims = orjson.loads(urlsafe_b64decode(assertion.split(".")[1] + "=="))
    assert (claims["iss"], claims["aud"], claims["scope"]) == ("robot@project.example", TOKENS, SCOPE)


async def test_token_that_has_ended_is_renewed_and_the_batch_sent_once() -> None:
    http = Audiences()
    http.ended = {"Bearer token-1"}

    outcomes = await put(http, Operation.UPSERT, {"email": "ada@example.com"})

    assert (outcomes, http.tokens, len(http.changes)) == ([NOT_VERIFIED], 2, 1)


async def test_service_account_that_is_let_in_nowhere_is_refused() -> None:
    http = Audiences()
    http.trouble = answer(403, {"error": {"status": "PERMISSION_DENIED"}})

    with pytest.raises(CredentialsRefused) as refused:
        await put(http, Operation.UPSERT, {"email": "ada@example.com"})

    assert "PRIVATE KEY" not in str(refused.value)


async def test_dry_run_says_what_google_would_and_adds_nobody() -> None:
    http = Audiences(hashed("mallory@example.com"))
    rows = {"email": "ada@example.com"}, {"email": "mallory@example.com"}

    async with GoogleAdsDestination.open(settings(), http) as destination:
        plan = await destination.plan(target(Operation.UPSERT, "7", *rows))
        [good] = (await destination.rehearse(plan, batch(Operation.UPSERT, rows[0]))).outcomes
        [bad] = (await destination.rehearse(plan, batch(Operation.UPSERT, rows[1]))).outcomes
        with pytest.raises(BatchRefused):
            await destination.rehearse(plan, batch(Operation.UPSERT, *rows))
        http.trouble = InDoubt("the answer is lost")
        with pytest.raises(DestinationUnavailable):
            await destination.rehearse(plan, batch(Operation.UPSERT, rows[0]))

    assert capabilities_of(GoogleAdsDestination) == {Capability.DRY_RUN}
    assert (good.verdict, bad.verdict, bad.code) == (Verdict.DELIVERED, Verdict.REJECTED, "INVALID_AUDIENCE_MEMBER")
    assert http.members["7"] == set()


async def test_batch_that_becomes_too_large_is_refused_unsent() -> None:
    http = Audiences()
    rows = [{"email": f"{n}@example.com", "phone": f"+4179{n:07}"} for n in range(9_999)]

    async with GoogleAdsDestination.open(settings(bytes_per_batch=1_000_000), http) as destination:
        plan = await destination.plan(target(Operation.UPSERT, "7", rows[0]))
        with pytest.raises(BatchRefused):
            await destination.write(plan, batch(Operation.UPSERT, *rows))
        await destination.write(plan, batch(Operation.UPSERT, *rows[:4_000]))

    assert plan.rows_per_batch == 10_000
    assert [len(request.body) < 1_000_000 for request in http.changes] == [True]


async def test_refusal_tells_nothing_of_a_person() -> None:
    http = Audiences(hashed("ada-private@example.com"))
    ada, nobody = {"email": "ada-private@example.com"}, {"email": "private-and-no-address"}

    outcomes = await put(http, Operation.UPSERT, ada, nobody)
    failure = await failure_of(put(http, Operation.UPSERT, ada, {"email": "bob-private@example.com"}))

    assert [each.code for each in outcomes] == ["INVALID_AUDIENCE_MEMBER", "NOT_REPRESENTABLE"]
    assert isinstance(failure, BatchRefused)
    assert "private" not in told(failure) + "".join(each.message for each in outcomes)


@pytest.mark.parametrize(
    "wrong",
    [
        {"customer_id": "12345"},
        {"login_customer_id": "my manager"},
        {"customer_match_terms": "later"},
        {"ad_user_data": "maybe"},
        {"phone_region": "Switzerland"},
        {"service_account": "{}"},
    ],
)
def test_setting_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(Invalid, match=next(iter(wrong))):
        settings(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"audienceMembers": [{"userData": {"userIdentifiers": [{"emailAddress": "a", "phoneNumber": "b"}]}}]},
        {"audienceMembers": [{"userData": {"userIdentifiers": [{}]}}]},
        {"audienceMembers": [{"email": "a"}]},
        {"encoding": "hex"},
        {"termsOfService": "ACCEPTED"},
    ],
)
def test_description_refuses_what_google_would(wrong: object) -> None:
    with pytest.raises(jsonschema.ValidationError):
        DATA_MANAGER.validate(wrong, "IngestAudienceMembersRequest")
