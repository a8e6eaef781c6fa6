"""The answers are those of Google's guides to the Data Manager API, and made after its description."""

from typing import Any, ClassVar

import pytest

from tailrace.connector_kit.http import HttpResponse
from tailrace.connector_kit.manifest.auth import Bearer
from tailrace.connector_kit.manifest.rehearsal import PROMISES, Promise, rehearse
from tailrace.core.rows import Operation
from tailrace.destinations.google_ads import MANIFEST, NOT_OF_A_ROW
from tailrace.testing.fake_http import answer
from tailrace.testing.manifest_contract import ManifestContract
from tailrace.testing.samples import Sample

API = "https://datamanager.googleapis.com/v1"
LISTS = f"{API}/accountTypes/GOOGLE_ADS/accounts/1234567890/userLists"
SETTINGS = {"client_email": "robot@project.example", "token": "google-token"}
SHOWS = {"Authorization": "Bearer google-token"}
TAKEN = answer(200, {"requestId": "126365e1-16d0-4c81-9de9-f362711e250a"})

ALEX = "509e933019bb285a134a9334b8bb679dff79d0ce023d529af4bd744d47b4fd8a"
FREEPHONE = "fb4f73a6ec5fdb7077d564cdd22c3554b43ce49168550c3b12c547b78c517b30"
GIVEN_NAME = "128a07bfe2df877c52076e60d7774cf5baaa046c5a6c48daf30ff43ecca2f814"
FAMILY_NAME = "77762c287e61ce065bee5c15464012c6fbe088398b8057627d5577249430d574"
"""As Google's own formatter has them: https://github.com/googleads/data-manager-python, tests/formatter_test.py."""

KEYS = {
    "email": (" AlexZ@Example.com ", {"emailAddress": ALEX}),
    "phone": ("+1 800-555-0100", {"phoneNumber": FREEPHONE}),
}
NAMED = {"given_name": " GivenName", "family_name": "FamilyName ", "region_code": "us", "postal_code": 94045}
ADDRESS = {"givenName": GIVEN_NAME, "familyName": FAMILY_NAME, "regionCode": "US", "postalCode": "94045"}
KINDS: dict[str, tuple[str, dict[str, object]]] = {
    "mobile": ("mobile_id", {"mobileData": {"mobileIds": ["7"]}}),
    "user": ("user_id", {"userIdData": {"userId": "7"}}),
}
TERMS = {"termsOfService": {"customerMatchTermsOfServiceStatus": "ACCEPTED"}}


def contact(*identifiers: object, **more: object) -> dict[str, object]:
    return {"compositeData": {"userData": {"userIdentifiers": list(identifiers)}}, **more}


def change(
    about: Operation,
    told: HttpResponse,
    means: list[str] | str,
    *members: object,
    **given: Any,  # noqa: ANN401 - parts of a sample
) -> Sample:
    """A sample of one audience; without members, of its outcome alone."""
    verb, more = ("ingest", TERMS) if about is Operation.UPSERT else ("remove", {})
    destination = {
        "operatingAccount": {"accountType": "GOOGLE_ADS", "accountId": "1234567890"},
        "productDestinationId": "7654321",
    }
    body = {"destinations": [destination], "encoding": "HEX", "audienceMembers": list(members), **more}
    asks, shows = (("POST", f"{API}/audienceMembers:{verb}", body), SHOWS) if members else (None, {})
    parts = {"object_name": "7654321", "key": "email", "rows": [{"email": "alexz@example.com"}]} | given
    return Sample(about=about, answers=[told], means=means, asks=asks, shows=shows, settings=SETTINGS, **parts)


def error(*details: object, code: int = 400, status: str = "INVALID_ARGUMENT") -> HttpResponse:
    told = {"code": code, "message": "There was a problem with the request.", "status": status}
    return answer(code, {"error": told | {"details": list(details)}})


def info(reason: str) -> object:
    return {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "datamanager.googleapis.com",
    }


def violation(reason: str) -> object:
    place = "audience_members.audience_members[0].user_data.user_identifiers"
    told = {"field": place, "description": "Email is not hex encoded.", "reason": reason}
    return {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [told]}


PLACE = "audience_members.audience_members[0].user_data.user_identifiers"
MALFORMED = error(info("INVALID_ARGUMENT"), violation("INVALID_HEX_ENCODING"))
LISTED = {
    number: {
        "name": f"accountTypes/GOOGLE_ADS/accounts/1234567890/userLists/{number}",
        "id": number,
        "displayName": f"List {number}",
        "ingestedUserListInfo": {"uploadKeyTypes": [kind]},
    }
    for number, kind in (("1", "CONTACT_ID"), ("2", "MOBILE_ID"), ("3", "USER_ID"), ("4", "PSEUDONYMOUS_ID"))
}
SHARED = [LISTED[number] | {"id": number + number, "readOnly": True} for number in ("1", "2", "3")]
PAGES = (
    answer(200, {"userLists": [*SHARED, LISTED["4"]], "nextPageToken": "page 2"}),
    answer(200, {"userLists": [LISTED["1"], LISTED["2"], LISTED["3"]]}),
)
EVERY_PAGE = ("GET", f"{LISTS}?pageSize=1000&pageToken=page%202", None)


def fields(object_name: str, *means: str) -> Sample:
    told = [*means, "ad_user_data", "ad_personalization"]
    return Sample(
        about="fields",
        object_name=object_name,
        answers=PAGES,
        means=told,
        asks=EVERY_PAGE,
        settings=SETTINGS,
    )


class TestGoogleAds(ManifestContract):
    manifest = MANIFEST.model_copy(update={"auth": Bearer()})  # its own, which is slow, is tested by itself
    unseen: ClassVar = (
        "fields.known.0.example",  # made up for the stand-in
        "rules.0.then",  # what is no meaning counts as invalid
        "rules.1.then",
    )
    samples: ClassVar = (
        *(
            change(about, TAKEN, ["delivered"], contact(member), key=key, rows=[{key: value}])
            for about in (Operation.UPSERT, Operation.DELETE)
            for key, (value, member) in KEYS.items()
        ),
        *(
            change(about, TAKEN, ["delivered"], member, object_name=f"{kind}:7654321", key=key, rows=[{key: 7}])
            for about in (Operation.UPSERT, Operation.DELETE)
            for kind, (key, member) in KINDS.items()
        ),
        *(
            change(about, TAKEN, "DESTINATION_INVALID", object_name=f"{kind}:7654321")
            for about in (Operation.UPSERT, Operation.DELETE)
            for kind in KINDS
        ),
        change(
            Operation.UPSERT,
            TAKEN,
            ["delivered"] * 3,
            contact({"emailAddress": ALEX}, {"phoneNumber": FREEPHONE}, {"address": ADDRESS}),
            contact({"emailAddress": ALEX}, consent={"adUserData": "CONSENT_GRANTED"}),
            contact(
                {"emailAddress": ALEX}, consent={"adUserData": "CONSENT_DENIED", "adPersonalization": "CONSENT_GRANTED"}
            ),
            rows=[
                {"email": ALEX.upper(), "phone": FREEPHONE, **NAMED},
                {"email": "alexz@example.com", "phone": None, **NAMED, "postal_code": " ", "ad_user_data": True},
                {"email": ALEX, "phone": "", "ad_user_data": "denied", "ad_personalization": "CONSENT_GRANTED"},
            ],
        ),
        change(
            Operation.UPSERT,
            TAKEN,
            ["rejected:EMPTY_KEY", *["rejected:NOT_REPRESENTABLE"] * 5, "delivered"],
            contact({"emailAddress": ALEX}),
            rows=[
                {"email": None, "phone": "+1 800-555-0100"},
                {"email": " "},
                {"email": "nobody"},
                {"email": ALEX, "phone": "800-555-0100"},
                {"email": ALEX, **NAMED, "region_code": "USA"},
                {"email": ALEX, "ad_user_data": "maybe"},
                {"email": ALEX},
            ],
        ),
        change(Operation.UPSERT, MALFORMED, [f"rejected:INVALID_HEX_ENCODING:{PLACE}"]),
        change(Operation.UPSERT, MALFORMED, "DESTINATION_VALIDATION", rows=[{"email": "a@b.c"}, {"email": ALEX}]),
        change(Operation.UPSERT, error(), ["rejected:HTTP_400"]),
        *(
            change(Operation.UPSERT, error(*told), "DESTINATION_INVALID")
            for reason in NOT_OF_A_ROW
            for told in ([info("INVALID_ARGUMENT"), violation(reason)], [info(reason)])
        ),
        change(Operation.UPSERT, answer(200, {}), "IN_DOUBT"),
        change(Operation.DELETE, answer(200, b"<html>"), "IN_DOUBT"),
        change(Operation.UPSERT, error(code=401, status="UNAUTHENTICATED"), "CREDENTIALS_REFUSED"),
        change(Operation.UPSERT, error(code=403, status="PERMISSION_DENIED"), "CREDENTIALS_REFUSED"),
        change(Operation.UPSERT, error(code=429, status="RESOURCE_EXHAUSTED"), "RATE_LIMIT:60"),
        change(Operation.UPSERT, answer(429, b"", {"retry-after": "7"}), "RATE_LIMIT:7"),
        change(Operation.UPSERT, error(code=503, status="UNAVAILABLE"), "DESTINATION_UNAVAILABLE"),
        Sample(
            about="check",
            answers=[PAGES[1]],
            means=[],
            asks=("GET", f"{LISTS}?pageSize=1", None),
            shows=SHOWS,
            settings=SETTINGS,
        ),
        Sample(
            about="objects",
            answers=[*PAGES, *PAGES, *PAGES],
            means=["11:read_only", "1", "mobile:22:read_only", "mobile:2", "user:33:read_only", "user:3"],
            asks=EVERY_PAGE,
            settings=SETTINGS,
        ),
        fields("1", "email:key", "phone:key", "given_name", "family_name", "region_code", "postal_code"),
        fields("mobile:2", "mobile_id:key"),
        fields("user:3", "user_id:key"),
    )


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
async def test_promise_holds_with_a_service_account(promise: Promise) -> None:
    assert await rehearse(MANIFEST, promise) == []
