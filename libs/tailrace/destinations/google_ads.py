"""Google Ads: the members of Customer Match audiences, by the Data Manager API. Not verified against Google.

An audience is an object by its number, made in Google Ads before. Those of contact information know people by `email`
or `phone`; besides the key, the other one can be mapped, and an address, which is sent only where all of `given_name`,
`family_name`, `region_code` and `postal_code` have a value. Audiences of mobile ids are `mobile:...`, with `mobile_id`;
those of user ids of your own are `user:...`, with `user_id`. An upsert adds a member, a delete takes one out, and to
mirror keeps the audience as the query is.

E-mail addresses, phone numbers and names are normalised and hashed here, by the rules of the mapping for the platform
google: none of them leaves in clear. What is a SHA-256 already, by the mapping or by the query, is sent as it is. A
phone number without `+` and a country's code needs `phone_region`. Where consent differs by person, map `ad_user_data`
and `ad_personalization` (true, granted, false or denied); else that of the connection holds, if it has one.

Google checks a request as a whole and works later, up to 24 hours: a row that counts as delivered is accepted, not
verified, and whom Google leaves out then, for want of consent or of a match, is not known here. A dry run lets Google
check rows without adding them.

A delete of a mirror names the key alone: who was added by more may stay in by the rest. Two keys that are one after
normalising are one member: a mirror takes out nobody who is in the query by another of them, but where the mode is
delete either takes the member out. Members fall out when the audience's membership duration is over; a full run adds
them again.

Let the service account's address into the Google Ads account, or into a manager account above it that
`login_customer_id` names, and enable the Data Manager API in its project.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from pydantic import Field

from tailrace.connector_kit.destination import Level, WritePlan
from tailrace.connector_kit.google_accounts import ServiceAccount, sign_in_for, values_of
from tailrace.connector_kit.http import HttpClient
from tailrace.connector_kit.manifest.answer_rules import AnswerRule, Then
from tailrace.connector_kit.manifest.attribution import AllOrNothing, Reason
from tailrace.connector_kit.manifest.encoding import Encoding, as_text
from tailrace.connector_kit.manifest.engine import destination_of
from tailrace.connector_kit.manifest.limits import Bucket, RowLimit, SizeLimit
from tailrace.connector_kit.manifest.model import (
    Fields,
    HeadersHook,
    Hooks,
    Kind,
    KnownField,
    Listing,
    Manifest,
    Objects,
    RowHook,
)
from tailrace.connector_kit.manifest.settings import ConnectionSettings, Setting
from tailrace.connector_kit.manifest.templates import Slot, Template
from tailrace.connector_kit.manifest.throttles import RetryAfter, SaysNothing
from tailrace.connector_kit.manifest.writes import NamedKey, Write
from tailrace.core.batches import Batch, BatchResult
from tailrace.core.clock import Clock
from tailrace.core.errors import DestinationUnavailable, InDoubt
from tailrace.core.mappings import Hash, HashKind, Platform
from tailrace.core.rows import Operation
from tailrace.mapping.hashing import hashing

CHECKED = date(2026, 11, 23)
GUIDES = "https://developers.google.com/data-manager/api/devguides"
UPLOAD = f"{GUIDES}/audiences/google-ads/customer-match/upload-data"
LIMITS = f"{GUIDES}/limits"
SCOPE = "https://www.googleapis.com/auth/datamanager"
ACCOUNT = r"[0-9]{3}-?[0-9]{3}-?[0-9]{4}"
DETAILS, VIOLATIONS = "error.details.*", "error.details.*.fieldViolations.*"
NOT_OF_A_ROW = (
    "DESTINATION_ACCOUNT_TYPE_MISMATCH",
    "INVALID_DESTINATION",
    "INVALID_USER_LIST_ID",
    "INVALID_USER_LIST_TYPE",
    "NOT_ALLOWLISTED",
    "OPERATING_ACCOUNT_LOGIN_ACCOUNT_MISMATCH",
    "TERMS_AND_CONDITIONS_NOT_SIGNED",
)
"""Reasons of refusals that every other row would meet too."""

HASHED = {
    "email": HashKind.EMAIL,
    "phone": HashKind.PHONE,
    "given_name": HashKind.FIRST_NAME,
    "family_name": HashKind.LAST_NAME,
}
IN_CLEAR = ("region_code", "postal_code", "mobile_id", "user_id")
ADDRESS = {
    "given_name": "givenName",
    "family_name": "familyName",
    "region_code": "regionCode",
    "postal_code": "postalCode",
}
CONSENTS = {"ad_user_data": "adUserData", "ad_personalization": "adPersonalization"}
GIVEN, DENIED = "CONSENT_GRANTED", "CONSENT_DENIED"
STATUSES = {"true": GIVEN, "granted": GIVEN, "false": DENIED, "denied": DENIED}
REGION = re.compile("[A-Za-z]{2}")

Consent = Literal["unspecified", "granted", "denied"]


class GoogleAdsSettings(ConnectionSettings):
    """Which account, who writes to it, and what the people in its audiences have agreed to."""

    customer_id: str = Field(pattern=f"^{ACCOUNT}$", description="the Google Ads account, such as 123-456-7890")
    login_customer_id: str = Field(
        default="", pattern=f"^({ACCOUNT})?$", description="the manager account that gives access, if one does"
    )
    service_account: ServiceAccount = Field(description="the key file's JSON")
    customer_match_terms: Literal["accepted"] = Field(
        description="that the account has accepted https://support.google.com/adspolicy/answer/6299717"
    )
    ad_user_data: Consent = Field(default="unspecified", description="consent to send user data for advertising")
    ad_personalization: Consent = Field(default="unspecified", description="consent to personalised advertising")
    phone_region: str = Field(
        default="", pattern="^([A-Z]{2})?$", description="the country of numbers without a country's code, such as CH"
    )


@dataclass(frozen=True, slots=True)
class Account:
    """A Google Ads account as requests name it; `consent` is what all people agreed to, in Google's words."""

    number: str
    login_number: str = ""
    phone_region: str | None = None
    consent: Mapping[str, str] = field(default_factory=dict)

    @property
    def lists(self) -> str:
        """The path of its audiences."""
        return f"/v1/accountTypes/GOOGLE_ADS/accounts/{self.number}/userLists"

    def audiences(self, upload_key: str, prefix: str = "") -> Objects:
        """Its audiences whose members are known by this."""
        path = f"{self.lists}?pageSize=1000"
        return Objects(
            listing=Listing(path=path, each="userLists", next="nextPageToken", cursor="pageToken"),
            name="id",
            label="displayName",
            is_read_only="readOnly",
            where={"ingestedUserListInfo.uploadKeyTypes.0": upload_key},
            prefix=prefix,
        )

    def operations(self, *keys: str) -> Mapping[Operation, Write]:
        """To add members and to take them out."""
        login: dict[str, Template] = {"loginAccount": _named(self.login_number)} if self.login_number else {}
        body: dict[str, Template] = {
            "destinations": [{"operatingAccount": _named(self.number), **login, "productDestinationId": Slot.OBJECT}],
            "encoding": "HEX",
        }
        added: dict[str, Template] = {"termsOfService": {"customerMatchTermsOfServiceStatus": "ACCEPTED"}}
        if self.consent:
            added["consent"] = dict(self.consent)
        return {
            Operation.UPSERT: _change("ingest", body | added, keys),
            Operation.DELETE: _change("remove", body, keys),
        }

    def kind(self, key: str, upload_key: str, prefix: str) -> Kind:
        """Its audiences whose members are known by nothing else."""
        fields = Fields(known=(KnownField(name=key, is_key=True), *_known(*CONSENTS)))
        return Kind(objects=self.audiences(upload_key, prefix), fields=fields, operations=self.operations(key))


def described(account: Account) -> Manifest:
    """The manifest of one account."""
    return Manifest(
        name="google_ads",
        label="Google Ads",
        level=Level.BRONZE,
        verified_against=(
            "Google's own description of the Data Manager API, revision 20261106, by made-up answers; not against the"
            " real Google"
        ),
        docs=UPLOAD,
        checked=CHECKED,
        base_url="https://datamanager.googleapis.com",
        settings=(Setting(name="client_email", description="the service account", pattern=r"[A-Za-z0-9._@-]{1,200}"),),
        auth=sign_in_for(SCOPE),
        buckets=(
            Bucket(name="minute", rate="300/1min", source=LIMITS, checked=CHECKED, note="of a Google Cloud project"),
            Bucket(name="daily", rate="100000/1d", source=LIMITS, checked=CHECKED, note="of a Google Cloud project"),
        ),
        throttles=(RetryAfter(), SaysNothing(then_s=60)),
        check=f"{account.lists}?pageSize=1",
        objects=account.audiences("CONTACT_ID"),
        fields=Fields(
            known=(
                KnownField(name="email", is_key=True, example="person-{n}@example.com"),
                KnownField(name="phone", is_key=True),
                *_known(*ADDRESS, *CONSENTS),
            )
        ),
        encoding=Encoding(null="left_out"),
        operations=account.operations("email", "phone"),
        kinds=(account.kind("mobile_id", "MOBILE_ID", "mobile:"), account.kind("user_id", "USER_ID", "user:")),
        rules=tuple(
            AnswerRule(status=(400,), at=f"{place}.reason", holds=NOT_OF_A_ROW, then=Then.INVALID)
            for place in (VIOLATIONS, DETAILS)
        ),
        refusal=Reason(code=f"{VIOLATIONS}.reason", message=f"{VIOLATIONS}.description", field=f"{VIOLATIONS}.field"),
        hooks=Hooks(row=_membership(account), headers=_login(account.login_number)),
    )


def _named(number: str) -> Template:
    return {"accountType": "GOOGLE_ADS", "accountId": number}


def _change(verb: str, body: dict[str, Template], keys: tuple[str, ...]) -> Write:
    return Write(
        path=f"/v1/audienceMembers:{verb}",
        body=body,
        rows_at="audienceMembers",
        row="$fields.member",
        key=NamedKey(fields=keys),
        max_rows=RowLimit(at_most="10000 rows", source=LIMITS, checked=CHECKED),
        max_size=SizeLimit(at_most="8 MB", source=LIMITS, checked=CHECKED, note="a size of ours: Google names none"),
        is_idempotent=True,
        attribution=AllOrNothing(receipt="requestId"),
    )


def _known(*names: str) -> tuple[KnownField, ...]:
    return tuple(KnownField(name=name) for name in names)


def _login(number: str) -> HeadersHook | None:
    """Names the account that gives access to audiences; changes of their members do so in the body."""
    if not number:
        return None
    return lambda asked: (
        {"login-account": f"accountTypes/GOOGLE_ADS/accounts/{number}"} if asked.method == "GET" else {}
    )


def _membership(account: Account) -> RowHook:
    """Adds to the fields of a row the member that they make; what its consent leaves open, that of all says."""
    hashes = {name: Hash(kind=kind, platform=Platform.GOOGLE) for name, kind in HASHED.items()}
    hashes["phone"] = Hash(kind=HashKind.PHONE, platform=Platform.GOOGLE, region=account.phone_region)
    convert = {name: hashing(how) for name, how in hashes.items()}

    def made(fields: Mapping[str, object]) -> Mapping[str, object]:
        if several := [name for name, value in fields.items() if isinstance(value, list | dict)]:
            raise ValueError(f"{several[0]}: the value is a list or an object")
        told = {name: as_text(fields[name]).strip() for name in IN_CLEAR if name in fields}
        for name in [name for name in HASHED if name in fields]:
            try:
                told[name] = as_text(convert[name](fields[name]))
            except ValueError as error:
                raise ValueError(f"{name}: the value is not {error}") from None
        own = {CONSENTS[name]: _status(name, fields[name]) for name in CONSENTS if name in fields}
        consent = {"consent": {**account.consent, **own}} if own else {}
        return {**fields, **told, "member": _identity(told) | consent}

    return made


def _identity(told: Mapping[str, str]) -> dict[str, object]:
    """Who a member is.

    :raises ValueError: nobody.
    """
    if told.get("mobile_id"):
        return {"mobileData": {"mobileIds": [told["mobile_id"]]}}
    if told.get("user_id"):
        return {"userIdData": {"userId": told["user_id"]}}
    names = {"email": "emailAddress", "phone": "phoneNumber"}
    identifiers: list[object] = [{vendor: told[name]} for name, vendor in names.items() if told.get(name)]
    if all(told.get(name) for name in ADDRESS):
        if not REGION.fullmatch(told["region_code"]):
            raise ValueError("region_code: the value is not a country's code of two letters")
        address = {vendor: told[name] for name, vendor in ADDRESS.items()}
        identifiers.append({"address": address | {"regionCode": told["region_code"].upper()}})
    if not identifiers:
        raise ValueError("there is nothing that a member could be known by")
    return {"compositeData": {"userData": {"userIdentifiers": identifiers}}}


def _status(name: str, value: object) -> str:
    word = as_text(value).strip().lower().removeprefix("consent_")
    if word not in STATUSES:
        raise ValueError(f"{name}: the value is not true, granted, false or denied")
    return STATUSES[word]


MANIFEST = described(Account("1234567890"))
"""That of a made-up account."""


class GoogleAdsDestination(destination_of(MANIFEST)):  # type: ignore[misc]  # made at run time
    """Does what the manifest of its account says; what is only tried, Google only validates."""

    name = MANIFEST.name
    settings_type = GoogleAdsSettings

    def __init__(self, settings: GoogleAdsSettings, http: HttpClient, clock: Clock) -> None:
        self.manifest = described(_account(settings))
        super().__init__(settings, http, clock)

    async def rehearse(self, plan: WritePlan, batch: Batch) -> BatchResult:
        write = self._operation(plan)
        tried = {"body": write.body | {"validateOnly": True}, "attribution": AllOrNothing()}
        try:
            result: BatchResult = await self._written(plan, batch, write.model_copy(update=tried))
        except InDoubt as error:
            raise DestinationUnavailable(error.message) from error
        return result

    def values(self, settings: GoogleAdsSettings) -> Mapping[str, str]:
        return values_of(settings.service_account)


def _account(settings: GoogleAdsSettings) -> Account:
    agreed = {name: STATUSES.get(getattr(settings, name)) for name in CONSENTS}
    return Account(
        number=settings.customer_id.replace("-", ""),
        login_number=settings.login_customer_id.replace("-", ""),
        phone_region=settings.phone_region or None,
        consent={CONSENTS[name]: status for name, status in agreed.items() if status is not None},
    )
