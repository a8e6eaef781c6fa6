"""Meta: people in the custom audiences of an ad account, up to ten thousand a request. Not verified against Meta.

An object is an audience that is filled by lists of customers. An upsert adds people, a delete takes them out, and to
mirror keeps in it whom the query has; who was added in another way stays. Meta knows people by `EXTERN_ID`, `EMAIL`,
`PHONE` or `MADID`, one of which is the key; what is mapped besides helps to find them. An `EXTERN_ID` is forgotten
after 90 days: to take people out later, let another field be the key. A delete of a mirror names the key alone, and a
row that changed is added anew; whether those go whom Meta had found by other fields is not confirmed. A mirror takes
out nobody whose key is only written in another way now.

Values are normalised as Meta asks and hashed by SHA-256, but for `EXTERN_ID`, which is sent as it is, and `MADID`,
which is sent in small letters. What is 64 hexadecimal digits already is taken for a hash and not hashed again: a
mapping may hash too, which keeps plain values out of dead letters, and should hash a key that is written in several
ways. A row is rejected for a value that cannot be normalised: a phone number needs + and a country's code, or a hash in
the mapping by its region. `DOBY`, `DOBM` and `DOBD` are the parts of a date of birth, `FI` is the first letter of a
first name, `ST` in the USA a code of two letters. Ids of apps and pages, worth, consent and limits to the use of data
are not sent.

Meta answers with counts: of rows that it takes the books say `NOT_VERIFIED`, matched or not. If it counts entries in a
bad format, the batch is halved until they are found. Audiences change within a day.

The token is that of a system user who manages the ad account, with `ads_management`. Not confirmed are how large a
request may be, and that one without `session` is taken: Meta's guide asks for it, its SDK does not.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date

from tailrace.connector_kit.destination import Level
from tailrace.connector_kit.manifest.answer_rules import AnswerRule, Then
from tailrace.connector_kit.manifest.attribution import Counted, Reason
from tailrace.connector_kit.manifest.auth import Bearer
from tailrace.connector_kit.manifest.encoding import Encoding, as_text
from tailrace.connector_kit.manifest.limits import Bucket, RowLimit, SizeLimit
from tailrace.connector_kit.manifest.model import Fields, Hooks, KnownField, Listing, Manifest, Objects
from tailrace.connector_kit.manifest.settings import Setting
from tailrace.connector_kit.manifest.throttles import NamedInHeader, SaysNothing
from tailrace.connector_kit.manifest.writes import IdentityKey, Method, Write
from tailrace.core.mappings import Hash, HashKind, Platform
from tailrace.core.rows import Operation
from tailrace.mapping.hashing import hashing, hashing_by
from tailrace.mapping.values import Convert, Mismatch

CHECKED = date(2026, 11, 23)
DOCS = "https://developers.facebook.com/docs/marketing-api/audiences/guides/custom-audiences"
USERS = "https://developers.facebook.com/docs/marketing-api/reference/custom-audience/users"
RATES = "https://developers.facebook.com/docs/graph-api/overview/rate-limiting"

ERRORS = (400, 403)
BUSY = ("4", "17", "32", "613", "80003", "80004")
FAILING = ("1", "2")
NOT_ALLOWED = ("10", "102", "190", "200", "294")
NOT_POSSIBLE = ("368", "2650")
CLOSED = ("33", "1713230")  # there is no such audience, or it is blocked

KEYS = ("EXTERN_ID", "EMAIL", "PHONE", "MADID")


def by_meta(kind: HashKind) -> Convert:
    """Makes a value its hash, by a rule that Meta has for all its products."""
    return hashing(Hash(kind=kind, platform=Platform.META))


def digits(least: int, most: int, width: int) -> Callable[[str], str]:
    """A part of a date, with zeros in front."""

    def normalized(text: str) -> str:
        told = text.strip()
        if told and not (re.fullmatch(r"[0-9]{1,4}", told) and least <= int(told) <= most):
            raise Mismatch(f"a number from {least} to {most}")
        return told and told.zfill(width)

    return normalized


def initial(text: str) -> str:
    """The first letter, in its small form."""
    return next((each for each in text.lower() if each.isalpha()), "")


def as_it_is(value: object) -> object:
    """What Meta does not want hashed; blanks alone are nothing."""
    return value if as_text(value).strip() else ""


def device(value: object) -> object:
    """The id of a device, in small letters."""
    return as_text(value).strip().lower()


FIELDS: Mapping[str, tuple[str, Convert, str]] = {
    "EXTERN_ID": ("Your own id", as_it_is, "u-1"),
    "EMAIL": ("Email", by_meta(HashKind.EMAIL), "mary@example.com"),
    "PHONE": ("Phone", by_meta(HashKind.PHONE), "+1 555 987 6543"),
    "MADID": ("Mobile advertiser id", device, "aece52e7-03ee-455a-b3c4-e57283966239"),
    "FN": ("First name", by_meta(HashKind.FIRST_NAME), "Mary"),
    "LN": ("Last name", by_meta(HashKind.LAST_NAME), "Doe"),
    "FI": ("First letter of the first name", hashing_by(initial), "M"),
    "GEN": ("Gender", by_meta(HashKind.GENDER), "f"),
    "DOBY": ("Year of birth", hashing_by(digits(1900, 2100, 4)), "1990"),
    "DOBM": ("Month of birth", hashing_by(digits(1, 12, 2)), "1"),
    "DOBD": ("Day of birth", hashing_by(digits(1, 31, 2)), "31"),
    "CT": ("City", by_meta(HashKind.CITY), "Menlo Park"),
    "ST": ("State", by_meta(HashKind.STATE), "CA"),
    "ZIP": ("Postal code", by_meta(HashKind.ZIP), "94025"),
    "COUNTRY": ("Country", by_meta(HashKind.COUNTRY), "US"),
}


def person(row: Mapping[str, object]) -> Mapping[str, object]:
    """All that Meta may know of a person, ready to be sent; what a row has not is an empty text."""
    return {name: _prepared(name, row.get(name)) for name in FIELDS}


def _prepared(name: str, value: object) -> object:
    match value:
        case None | "":
            return ""
        case list() | dict():
            raise ValueError(f"{name} must be one value, not a list or an object")
    _, prepare, _ = FIELDS[name]
    try:
        return prepare(as_text(value)) or ""
    except Mismatch as error:
        raise ValueError(f"{name} must be {error}") from None


def members(method: Method) -> Write:
    """People are added or taken out by the same document."""
    return Write(
        method=method,
        path="/{object}/users",
        body={"payload": {"schema": list(FIELDS)}},
        rows_at="payload.data",
        row=[f"$fields.{name}" for name in FIELDS],
        deletes_by_body=method == "DELETE",
        key=IdentityKey(fields=KEYS),
        max_rows=RowLimit(at_most="10000 rows", source=USERS, checked=CHECKED),
        max_size=SizeLimit(at_most="10 MB", source=USERS, checked=CHECKED, note="a size of ours: Meta names none"),
        is_idempotent=True,
        attribution=Counted(failed_count="num_invalid_entries", got_count="num_received"),
    )


MANIFEST = Manifest(
    name="meta_audiences",
    label="Meta Custom Audiences",
    level=Level.BRONZE,
    verified_against=(
        "answers made after Meta's documents, and the parameters of Meta's SDK 26.0.3, read; not against the real Meta"
    ),
    docs=DOCS,
    checked=CHECKED,
    base_url="https://graph.facebook.com/{api_version}",
    settings=(
        Setting(
            name="ad_account",
            description="the number of the ad account, without act_",
            pattern="[0-9]{1,20}",
            example="1234567890",
        ),
        Setting(
            name="api_version",
            description="the version of the Graph API, which Meta retires one by one",
            default="v26.0",
            pattern=r"v[0-9]{1,3}\.[0-9]",
        ),
    ),
    auth=Bearer(description="the access token of a system user with the permission ads_management"),
    buckets=(
        Bucket(
            name="custom_audiences",
            rate="5000/1h",
            source=RATES,
            checked=CHECKED,
            note="of limited access, and 40 more for each active audience; 190000 of full access",
        ),
    ),
    throttles=(
        NamedInHeader(header="X-Business-Use-Case-Usage", name="estimated_time_to_regain_access", unit="min"),
        SaysNothing(then_s=60),
    ),
    check="/act_{ad_account}?fields=id",
    objects=Objects(
        listing=Listing(
            path="/act_{ad_account}/customaudiences?fields=id,name,subtype&limit=100",
            each="data",
            next="paging.cursors.after",
        ),
        name="id",
        label="name",
        where={"subtype": "CUSTOM"},
    ),
    fields=Fields(
        known=tuple(
            KnownField(name=name, label=label, is_key=name in KEYS, example=example)
            for name, (label, _, example) in FIELDS.items()
        ),
    ),
    encoding=Encoding(null="left_out"),
    operations={Operation.UPSERT: members("POST"), Operation.DELETE: members("DELETE")},
    rules=(
        AnswerRule(status=ERRORS, at="error.code", holds=BUSY, then=Then.THROTTLED),
        AnswerRule(status=(400,), at="error.code", holds=FAILING, then=Then.LATER),
        AnswerRule(status=(400,), at="error.code", holds=NOT_ALLOWED, then=Then.CREDENTIALS),
        AnswerRule(status=ERRORS, at="error.code", holds=NOT_POSSIBLE, then=Then.INVALID),
        AnswerRule(status=ERRORS, at="error.error_subcode", holds=CLOSED, then=Then.INVALID),
    ),
    refusal=Reason(code="error.code", message="error.message"),
    hooks=Hooks(row=person),
)
