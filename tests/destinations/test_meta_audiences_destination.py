"""The answers are made after Meta's documents: members of custom audiences, lists of them, errors, rate limits.

The parameters are those of Meta's description of its API for SDKs, `CustomAudience.json` and facebook-business 26.0.3.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from hashlib import sha256
from typing import ClassVar

import orjson
import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from tailrace.connector_kit.destination import Target
from tailrace.connector_kit.http import HttpRequest, HttpResponse
from tailrace.connector_kit.manifest.attribution import NOT_VERIFIED
from tailrace.connector_kit.manifest.engine import ManifestDestination, destination_of
from tailrace.core.batches import Batch
from tailrace.core.errors import BatchRefused, InDoubt, TailraceError
from tailrace.core.rows import Operation, Row, RowKey, RowOutcome
from tailrace.core.snapshots import hash_row
from tailrace.core.syncs import SyncMode
from tailrace.destinations import meta_audiences as meta
from tailrace.destinations.meta_audiences import KEYS, MANIFEST
from tailrace.testing.fake_http import Answer, FakeHttp, answer
from tailrace.testing.manifest_contract import ManifestContract
from tailrace.testing.samples import Sample
from tests.destinations.described import Described, Json, record, recorded, refuse_what_is_not

API = "https://graph.facebook.com/v26.0"
ACCOUNT = f"{API}/act_1234567890"
TOKEN = "canary-token-4471"
SETTINGS = {"token": TOKEN, "ad_account": "1234567890"}
SHOWS = {"Authorization": f"Bearer {TOKEN}"}
METHODS = {Operation.UPSERT: "POST", Operation.DELETE: "DELETE"}
MARY = "f1904cf1a9d73a55fa5de0ac823c4403ded71afd4c3248d00bdcd0866552bb79"
USED = '{"77":[{"type":"custom_audience","call_count":100,"estimated_time_to_regain_access":7}]}'


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


PERSON: Mapping[str, str] = {
    "EXTERN_ID": " U-1",
    "EMAIL": "Mary@Example.com ",
    "PHONE": "+1 (555) 987-6543",
    "MADID": "AECE52E7-03EE-455A-B3C4-E57283966239",
    "FN": "Mary-Ann",
    "LN": "Doe",
    "FI": "mary",
    "GEN": "female",
    "DOBY": "1990",
    "DOBM": "1",
    "DOBD": "31",
    "CT": "Menlo Park",
    "ST": "CA",
    "ZIP": "94025-1234",
    "COUNTRY": "US",
}
HASHED = ("maryann", "doe", "m", "f", "1990", "01", "31", "menlopark", "ca", "94025", "us")
SENT = [" U-1", MARY, digest("15559876543"), PERSON["MADID"].lower(), *map(digest, HASHED)]


def taken(count: int) -> HttpResponse:
    told = {"num_received": count, "num_invalid_entries": 0, "invalid_entry_samples": {}}
    return answer(200, {"audience_id": "99", "session_id": "5", **told})


def counted(**told: object) -> HttpResponse:
    return answer(200, {"audience_id": "99", **told})


def error(status: int, code: str, subcode: str = "1", usage: str | None = None) -> HttpResponse:
    told = {"message": "no", "type": "OAuthException", "code": int(code), "error_subcode": int(subcode)}
    return answer(status, {"error": told}, {} if usage is None else {"x-business-use-case-usage": usage})


def members(about: Operation, key: str, rows: Sequence[Mapping[str, object]], data: list[list[str]]) -> Sample:
    return Sample(
        about=about,
        object_name="99",
        key=key,
        rows=rows,
        answers=[taken(len(rows))],
        means=["delivered"] * len(rows),
        asks=(METHODS[about], f"{API}/99/users", {"payload": {"schema": list(PERSON), "data": data}}),
        shows=SHOWS,
        settings=SETTINGS,
    )


def told(answered: HttpResponse, means: list[str] | str, *rows: Mapping[str, object]) -> Sample:
    people = rows or (PERSON, {**PERSON, "EXTERN_ID": "u-2"})
    return Sample(
        about=Operation.UPSERT,
        object_name="99",
        key="EXTERN_ID",
        rows=people,
        answers=[answered],
        means=means,
        settings=SETTINGS,
    )


def check(version: str, settings: Mapping[str, object]) -> Sample:
    asks = ("GET", f"https://graph.facebook.com/{version}/act_1234567890?fields=id", None)
    return Sample(about="check", answers=[answer(200, {})], means=[], asks=asks, shows=SHOWS, settings=settings)


def alone(key: str) -> list[str]:
    return [sent if name == key else "" for name, sent in zip(PERSON, SENT, strict=True)]


CHANGED = [members(about, key, [PERSON, {key: PERSON[key]}], [SENT, alone(key)]) for about in METHODS for key in KEYS]
COUNTED = (
    told(counted(num_received=2, num_invalid_entries=1), "DESTINATION_VALIDATION"),
    told(counted(num_received=1, num_invalid_entries=1), ["rejected:REJECTED"], PERSON),
    told(counted(num_received=0, num_invalid_entries=0), "IN_DOUBT"),
    told(counted(num_received=2), "IN_DOUBT"),
    told(answer(200, [0]), "IN_DOUBT"),
    told(answer(200, b"<html>", {"content-type": "text/html"}), "IN_DOUBT"),
)
REFUSED = (
    *(told(error(status, code), "RATE_LIMIT:60") for status in meta.ERRORS for code in meta.BUSY),
    told(error(400, "80003", usage=USED), "RATE_LIMIT:420"),
    told(error(400, "80003", usage=USED.replace("7}", "90}")), "RATE_LIMIT:900"),
    *(told(error(400, code), "DESTINATION_UNAVAILABLE") for code in meta.FAILING),
    *(told(error(400, code), "CREDENTIALS_REFUSED") for code in meta.NOT_ALLOWED),
    told(error(401, "190"), "CREDENTIALS_REFUSED"),
    *(told(error(status, code), "DESTINATION_INVALID") for status in meta.ERRORS for code in meta.NOT_POSSIBLE),
    *(told(error(status, "100", subcode), "DESTINATION_INVALID") for status in meta.ERRORS for subcode in meta.CLOSED),
    told(error(400, "100"), "DESTINATION_VALIDATION"),
    told(error(400, "100"), ["rejected:100"], PERSON),
    told(error(500, "2"), "DESTINATION_UNAVAILABLE"),
)
FIRST = {
    "data": [{"id": "99", "name": "Buyers", "subtype": "CUSTOM"}, {"id": "98", "name": "Site", "subtype": "WEBSITE"}],
    "paging": {"cursors": {"after": "Q="}, "next": f"{ACCOUNT}/customaudiences?access_token={TOKEN}&after=Q="},
}
SECOND = {"data": [{"id": "97", "name": "Payers", "subtype": "CUSTOM"}], "paging": {"cursors": {"after": "R="}}}
LIST = f"{ACCOUNT}/customaudiences?fields=id,name,subtype&limit=100"
ASKED = (
    check("v26.0", SETTINGS),
    check("v25.0", SETTINGS | {"api_version": "v25.0"}),
    Sample(
        about="objects",
        answers=[answer(200, FIRST), answer(200, SECOND), answer(200, {"data": []})],
        means=["99", "97"],
        asks=("GET", f"{LIST}&after=R%3D", None),
        shows=SHOWS,
        settings=SETTINGS,
    ),
    Sample(
        about="fields",
        object_name="99",
        answers=[answer(200, FIRST), answer(200, {"data": []})],
        means=[name + (":key" if name in KEYS else "") for name in PERSON],
        settings=SETTINGS,
    ),
)


class TestMetaAudiences(ManifestContract):
    manifest = MANIFEST
    samples: ClassVar = (*CHANGED, *COUNTED, *REFUSED, *ASKED)
    # The hook takes NULL for left out; a meaning that is none of the known ones is that of a request that is invalid.
    unseen: ClassVar = ("encoding.null", "rules.3.then", "rules.4.then")


HASH: Json = {"type": "string", "pattern": "^([0-9a-f]{64})?$"}
PLAIN: Json = {"type": "string"}
COLUMNS = [PLAIN if name in {"EXTERN_ID", "MADID"} else HASH for name in PERSON]
ROWS: Json = {"type": "array", "maxItems": 10_000, "items": {"type": "array", "items": False, "prefixItems": COLUMNS}}
PAYLOAD = record({"schema": {"const": list(PERSON)}, "data": ROWS}, "schema", "data")
BODY = record({"payload": PAYLOAD, "session": {"type": "object"}, "namespace": PLAIN})


@pytest.mark.parametrize("row", [PERSON, {"EXTERN_ID": 42}, {"EXTERN_ID": "1", "EMAIL": None, "ZIP": 94025}])
@pytest.mark.parametrize("operation", METHODS)
async def test_request_is_as_the_vendor_describes_it(operation: Operation, row: Json) -> None:
    asked = await recorded(MANIFEST, operation, row)

    refuse_what_is_not(Described(METHODS[operation], "/v26.0/listed_object/users", BODY), asked)


class Meta(FakeHttp):
    """An ad account with one audience, whose answers to changes are given."""

    def __init__(self, change: Answer) -> None:
        super().__init__(self._told)
        self._change = change

    @property
    def changes(self) -> list[HttpRequest]:
        return [request for request in self.requests if request.method != "GET"]

    def data(self) -> list[list[str]]:
        return [row for each in self.changes for row in orjson.loads(each.body)["payload"]["data"]]

    def _told(self, request: HttpRequest) -> HttpResponse:
        if request.method == "GET":
            return answer(200, {"data": [{"id": "99", "name": "Buyers", "subtype": "CUSTOM"}]})
        if isinstance(self._change, Exception):
            raise self._change
        return self._change if isinstance(self._change, HttpResponse) else self._change(request)


def opened(http: FakeHttp, **own: object) -> AbstractAsyncContextManager[ManifestDestination]:
    connector = destination_of(MANIFEST)
    return connector.open(connector.settings_type.model_validate(SETTINGS | own), http)


async def write(
    http: FakeHttp, *rows: Mapping[str, object], about: Operation = Operation.UPSERT, key: str = "EMAIL", **own: object
) -> Sequence[RowOutcome]:
    bodies = [orjson.dumps(row) for row in rows]
    batch = Batch(about, [Row(RowKey((str(at),)), body, hash_row(body)) for at, body in enumerate(bodies)], "id")
    async with opened(http, **own) as destination:
        plan = await destination.plan(Target("99", about, (key,), tuple(PERSON)))
        return (await destination.write(plan, batch)).outcomes


@pytest.mark.parametrize(
    ("name", "value", "published"),
    [
        ("EMAIL", "mary@example.com", MARY),
        ("PHONE", "+15559876543", "1ef970831d7963307784fa8688e8fce101a15685d62aa765fed23f3a2c576a4e"),
        ("EMAIL", "user1@example.com", "b36a83701f1c3191e19722d6f90274bc1b5501fe69ebf33313e440fe4b0fe210"),
        ("FN", "Mary", "6915771be1c5aa0c886870b6951b03d7eafc121fea0e80a5ea83beb7c449f4ec"),
        ("FN", "정", "8fa8cd9c440be61d0151429310034083132b35975c4bea67fdd74158eb51db14"),
        ("FI", "Émile", digest("é")),
        ("DOBM", 9, digest("09")),
        ("EMAIL", digest("x").upper(), digest("x")),
        ("DOBY", digest("1990"), digest("1990")),
        ("FN", "...", ""),
        ("EXTERN_ID", digest("X").upper(), digest("X").upper()),
        ("EXTERN_ID", 42, "42"),
    ],
)
async def test_value_is_normalised_and_hashed_as_meta_asks(name: str, value: object, published: str) -> None:
    http = Meta(taken(1))

    await write(http, {"MADID": "m", name: value}, key="MADID")

    assert dict(zip(PERSON, http.data()[0], strict=True)) == dict.fromkeys(PERSON, "") | {"MADID": "m", name: published}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EMAIL", "nobody"),
        ("EMAIL", ["a@x.example"]),
        ("PHONE", "5559876543"),
        ("DOBY", "1890"),
        ("DOBM", "13"),
        ("DOBD", "first"),
        ("GEN", "unknown"),
        ("COUNTRY", "Switzerland"),
    ],
)
async def test_value_of_another_kind_rejects_its_row_alone(name: str, value: object) -> None:
    http = Meta(taken(1))

    bad, good = await write(http, {"EXTERN_ID": "1", name: value}, {"EXTERN_ID": "2"}, key="EXTERN_ID")

    assert (bad.code, good, len(http.data())) == ("NOT_REPRESENTABLE", NOT_VERIFIED, 1)
    assert bad.message.startswith(f"{name} must be ")
    assert str(value) not in bad.message


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("value", ["", "  ", None])
async def test_person_without_a_value_in_the_key_is_rejected(key: str, value: str | None) -> None:
    [outcome] = await write(Meta(taken(1)), {key: value, "FN": "Mary"}, key=key)

    assert outcome.code == "EMPTY_KEY"


async def test_audience_is_kept_as_a_query_is_and_nobody_is_verified() -> None:
    held: set[str] = set()

    def change(request: HttpRequest) -> HttpResponse:
        people = {row[1] for row in orjson.loads(request.body)["payload"]["data"]}
        held.update(people) if request.method == "POST" else held.difference_update(people)
        return taken(len(people))

    async with opened(Meta(change)) as destination:
        [audience] = await destination.objects()
    added = await write(Meta(change), {"EMAIL": "a@x.example", "FN": "A"}, {"EMAIL": "B@x.example"})
    gone = await write(Meta(change), {"EMAIL": "b@x.example"}, {"EMAIL": "c@x.example"}, about=Operation.DELETE)

    assert SyncMode.MIRROR in audience.modes
    assert added == gone == [NOT_VERIFIED] * 2
    assert held == {digest("a@x.example")}


async def test_largest_batch_that_is_planned_fits_into_one_request() -> None:
    http = Meta(taken(1))
    async with opened(http) as destination:
        plan = await destination.plan(Target("99", Operation.UPSERT, ("EMAIL",), tuple(PERSON)))

    await write(http, *[{**PERSON, "EXTERN_ID": f"user-{at:08}"} for at in range(plan.rows_per_batch)])

    [request] = http.changes
    assert (plan.rows_per_batch, len(http.data())) == (10_000, 10_000)
    assert len(request.body) <= 10_000_000


async def test_nothing_larger_than_the_limits_is_sent() -> None:
    http = Meta(taken(1))

    with pytest.raises(BatchRefused):
        await write(http, *[{**PERSON, "EXTERN_ID": str(at)} for at in range(10)], bytes_per_batch=4096)
    [outcome] = await write(http, {**PERSON, "EXTERN_ID": "x" * 5000}, bytes_per_batch=4096)

    assert (outcome.code, http.changes) == ("ROW_TOO_LARGE", [])


@pytest.mark.parametrize(
    "change",
    [
        InDoubt("the answer is lost"),
        error(400, "190"),
        error(400, "80003"),
        error(400, "100"),
        answer(500, {"error": {"message": f"{TOKEN} mary@example.com", "code": 2}}),
        counted(num_received=2, num_invalid_entries=1, invalid_entry_samples={"1": "mary@example.com"}),
    ],
    ids=["lost", "token", "throttle", "refused", "outage", "bad entries"],
)
async def test_nothing_that_may_be_logged_tells_a_person_or_the_token(change: Answer) -> None:
    http = Meta(change)

    with capture_logs() as logged, pytest.raises(TailraceError) as failed:
        await write(http, {"EMAIL": "mary@example.com"}, {"EMAIL": "ann@example.com"})

    said = f"{logged} {failed.value} {failed.value!r} {[request.url for request in http.requests]}"
    assert not [each for each in (TOKEN, "mary", MARY) if each in said]
    assert b"mary" not in b"".join(request.body for request in http.requests)


@pytest.mark.parametrize(
    "wrong", [{"ad_account": "act_123"}, {"ad_account": "1/../2"}, {"api_version": "26"}, {"api_version": "v26.0/me"}]
)
def test_settings_that_would_lead_elsewhere_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        destination_of(MANIFEST).settings_type.model_validate(SETTINGS | wrong)
