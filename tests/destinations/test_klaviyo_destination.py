"""The answers are made after Klaviyo's description of its API, revision 2026-07-15."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

import orjson
import pytest
import pytest_asyncio

from tailrace.connector_kit.destination import Clearing, Destination, Target
from tailrace.connector_kit.field_kinds import FieldKind
from tailrace.connector_kit.http import HttpResponse
from tailrace.connector_kit.manifest.engine import destination_of
from tailrace.core.batches import Batch
from tailrace.core.errors import DestinationInvalid
from tailrace.core.rows import Operation, Row, RowKey, Verdict
from tailrace.core.snapshots import hash_row
from tailrace.core.syncs import SyncMode
from tailrace.destinations.klaviyo import MANIFEST, KlaviyoDestination, KlaviyoSettings
from tailrace.testing.capability_contract import ListsContract
from tailrace.testing.fake_http import FakeHttp, answer
from tailrace.testing.manifest_contract import ManifestContract
from tailrace.testing.samples import Sample
from tests.destinations.klaviyo_account import Account, refused

API = "https://a.klaviyo.com"
KEYS = ("external_id", "email", "phone_number")
SETTINGS = {"api_key": "pk_made_up_private_key"}
SHOWS = {
    "Authorization": "Klaviyo-API-Key pk_made_up_private_key",
    "revision": "2026-07-15",
    "Accept": "application/vnd.api+json",
    "Content-Type": "application/vnd.api+json",
}
ULIDS = ("2D3WRY45DE23N8BDYPKK4J42H2", "6BVVQTB8ZAAXC2X7ZVT4ATNWMV")
ATTRIBUTES = {
    "external_id": "42",
    "email": "sarah.mason@klaviyo-demo.com",
    "phone_number": "+15005550006",
    "first_name": "Sarah",
    "last_name": None,
    "organization": "Example Corporation",
    "locale": "en-US",
    "title": "Regional Manager",
    "image": "https://images.example/1.jpeg",
    "location": {"city": "New York", "latitude": 40.7128, "zip": None},
}


def profile(told: HttpResponse, means: list[str] | str) -> Sample:
    sent = {"type": "profile", "attributes": {**ATTRIBUTES, "properties": {"plan": None, "seats": 1.5}}}
    return Sample(
        about=Operation.UPSERT,
        object_name="profiles",
        key="external_id",
        rows=[{**ATTRIBUTES, "external_id": 42, "plan": None, "seats": 1.5}],
        answers=[told],
        means=means,
        asks=("POST", f"{API}/api/profile-import", {"data": sent}),
        shows=SHOWS,
        settings=SETTINGS,
    )


def by_key(key: str) -> Sample:
    attributes = {key: "1", "properties": {}}
    return Sample(
        about=Operation.UPSERT,
        object_name="profiles",
        key=key,
        rows=[{key: 1}],
        answers=[answer(201, {"data": {"type": "profile", "id": "01GDDKASAP8TKDDA2GRZDSVP4H"}})],
        means=["delivered"],
        asks=("POST", f"{API}/api/profile-import", {"data": {"type": "profile", "attributes": attributes}}),
        settings=SETTINGS,
    )


def event(ulid: str, identity: object, known: dict[str, object], properties: object) -> object:
    metric = {"data": {"type": "metric", "attributes": {"name": "Placed Order"}}}
    attributes = {**known, "properties": properties, "metric": metric, "unique_id": ulid}
    profile_of = {"data": {"type": "profile", "attributes": identity}}
    events = {"data": [{"type": "event", "attributes": attributes}]}
    return {"type": "event-bulk-create", "attributes": {"profile": profile_of, "events": events}}


def events(told: HttpResponse, means: list[str] | str) -> Sample:
    bought = {"metric": "Placed Order"}
    known: dict[str, object] = {"time": "2026-11-22T00:00:00Z", "value": 9.99, "value_currency": "USD"}
    made = [
        event(ULIDS[0], {"external_id": "42", "email": "a@x.example"}, {**known, "backfill": True}, {"sku": "a"}),
        event(ULIDS[1], {"phone_number": "15005550006"}, {"time": "2026-11-22T00:00:01Z"}, {"sku": None}),
    ]
    attributes = {"events-bulk-create": {"data": made}}
    sent = {"data": {"type": "event-bulk-create-job", "attributes": attributes}}
    return Sample(
        about=Operation.INSERT,
        object_name="events",
        rows=[
            {"external_id": 42, "email": "a@x.example", **bought, **known, "backfill": True, "sku": "a"},
            {"external_id": None, "phone_number": 15005550006, **bought, "time": "2026-11-22T00:00:01Z", "sku": None},
        ],
        answers=[told],
        means=means,
        asks=("POST", f"{API}/api/event-bulk-create-jobs", sent),
        shows=SHOWS,
        settings=SETTINGS,
    )


FOUND = answer(200, {"data": [{"type": "profile", "id": "01A", "attributes": {"email": "A@x.example"}}]})


def members(about: Operation, method: str, answers: list[HttpResponse], means: list[str] | str) -> Sample:
    return Sample(
        about=about,
        object_name="list:Y6nRLr",
        key="email",
        rows=[{"email": "a@X.example"}, {"email": "b@x.example"}],
        answers=answers,
        means=means,
        asks=(method, f"{API}/api/lists/Y6nRLr/relationships/profiles", {"data": [{"type": "profile", "id": "01A"}]}),
        shows=SHOWS,
        settings=SETTINGS,
    )


def looked_up(about: Operation, key: str) -> Sample:
    asked = f"{API}/api/profiles?filter=any({key},[%22%2B1%22])&fields%5Bprofile%5D={key}&page%5Bsize%5D=100"
    return Sample(
        about=about,
        object_name="list:Y6nRLr",
        key=key,
        rows=[{key: "+1"}],
        answers=[answer(200, {"data": []})],
        means=["delivered" if about is Operation.DELETE else "rejected:NOT_FOUND"],
        asks=("GET", asked, None),
        settings=SETTINGS,
    )


PAGES = (
    answer(
        200,
        {
            "data": [{"type": "list", "id": "Y6nRLr", "attributes": {"name": "Newsletter"}}],
            "links": {"next": f"{API}/api/lists?page%5Bcursor%5D=bmV4dA"},
        },
    ),
    answer(200, {"data": [{"type": "list", "id": "Zb2", "attributes": {"name": "VIP"}}], "links": {"next": None}}),
)
FIELDS = ["external_id:key", "email:key", "phone_number:key", *list(ATTRIBUTES)[3:]]


class TestKlaviyo(ManifestContract):
    manifest = MANIFEST
    samples: ClassVar = (
        profile(answer(200, {"data": {"type": "profile", "id": "01A"}}), ["delivered"]),
        profile(refused("no", "/data/attributes/email"), ["rejected:invalid:/data/attributes/email"]),
        profile(answer(401, {"errors": [{"code": "not_authenticated"}]}), "CREDENTIALS_REFUSED"),
        profile(answer(403, {"errors": [{"code": "permission_denied"}]}), "CREDENTIALS_REFUSED"),
        profile(answer(429, b"", {"retry-after": "7"}), "RATE_LIMIT:7"),
        profile(answer(503), "DESTINATION_UNAVAILABLE"),
        *map(by_key, KEYS),
        events(answer(202), ["delivered", "delivered"]),
        events(refused("no"), "DESTINATION_VALIDATION"),
        members(Operation.UPSERT, "POST", [FOUND, answer(204)], ["delivered", "rejected:NOT_FOUND"]),
        members(Operation.DELETE, "DELETE", [FOUND, answer(204)], ["delivered", "delivered"]),
        *(looked_up(about, key) for about in (Operation.UPSERT, Operation.DELETE) for key in KEYS),
        Sample(
            about="check",
            answers=PAGES[1:],
            means=[],
            asks=("GET", f"{API}/api/lists?page%5Bsize%5D=1", None),
            shows=SHOWS,
            settings=SETTINGS,
        ),
        Sample(
            about="objects",
            answers=PAGES,
            means=["profiles", "list:Y6nRLr", "list:Zb2", "events"],
            asks=("GET", f"{API}/api/lists?page[cursor]=bmV4dA", None),
            settings=SETTINGS,
        ),
        Sample(about="fields", object_name="profiles", answers=PAGES[1:], means=FIELDS, settings=SETTINGS),
    )

    async def test_labels_of_lists_are_theirs_and_modes_are_those_that_klaviyo_has(self) -> None:
        connector = destination_of(MANIFEST)

        async with connector.open(connector.settings_type.model_validate(SETTINGS), FakeHttp(*PAGES)) as destination:
            profiles, newsletter, *_ = await destination.objects()

        assert (profiles.modes, newsletter.label) == (frozenset({SyncMode.UPSERT}), "Newsletter")
        assert newsletter.modes == {SyncMode.UPSERT, SyncMode.DELETE, SyncMode.MIRROR}

    async def test_kinds_of_fields_and_how_one_is_cleared_are_told(self) -> None:
        account = Account()

        async with KlaviyoDestination.open(KlaviyoSettings.model_validate(SETTINGS), account) as destination:
            kinds = {each.name: each.kind for each in await destination.fields("events")}
            location = {each.name: each.kind for each in await destination.fields("profiles")}["location"]

        assert (kinds["time"], kinds["value"], kinds["backfill"]) == (
            FieldKind.TIMESTAMP,
            FieldKind.NUMBER,
            FieldKind.BOOLEAN,
        )
        assert (location, KlaviyoDestination.clearing, account.calls) == (FieldKind.OBJECT, Clearing.BY_NULL, [])

    async def test_events_are_accepted_and_no_more(self) -> None:
        account, target = Account(), Target("events", Operation.INSERT, (), ("external_id", "metric", "sku"))
        body = orjson.dumps({"external_id": 7, "metric": "Placed Order", "sku": "a"})
        batch = Batch(Operation.INSERT, [Row(RowKey(("1",)), body, hash_row(body))], "batch-1")

        async with KlaviyoDestination.open(KlaviyoSettings.model_validate(SETTINGS), account) as destination:
            plan = await destination.plan(target)
            result = await destination.write(plan, batch)

        assert [(each.verdict, each.code) for each in result.outcomes] == [(Verdict.DELIVERED, "NOT_VERIFIED")]
        assert (plan.rows_per_batch, plan.is_idempotent, len(account.events)) == (1000, True, 1)

    @pytest.mark.parametrize(
        ("name", "operation", "most"),
        [("list:L1", Operation.UPSERT, 100), ("list:L1", Operation.DELETE, 100), ("events", Operation.INSERT, 1000)],
    )
    async def test_more_rows_a_batch_are_for_profiles_alone(self, name: str, operation: Operation, most: int) -> None:
        settings = SETTINGS | {"rows_per_batch": 5000}
        fields = ("email", "metric") if operation is Operation.INSERT else ("email",)

        async with KlaviyoDestination.open(KlaviyoSettings.model_validate(settings), Account()) as destination:
            plan = await destination.plan(Target(name, operation, ("email",), fields))

        assert plan.rows_per_batch == most

    @pytest.mark.parametrize(
        ("name", "operation", "key", "told"),
        [
            ("profiles", Operation.DELETE, "email", "takes no delete"),
            ("profiles", Operation.UPSERT, "id", "'id' identifies no profiles"),
            ("people", Operation.UPSERT, "email", "there are events, list:L1, profiles"),
            ("list:none", Operation.UPSERT, "email", "there is no object"),
        ],
    )
    async def test_target_that_klaviyo_has_not_is_refused(
        self, name: str, operation: Operation, key: str, told: str
    ) -> None:
        async with KlaviyoDestination.open(KlaviyoSettings.model_validate(SETTINGS), Account()) as destination:
            with pytest.raises(DestinationInvalid, match=told):
                await destination.plan(Target(name, operation, (key,), (key,)))


@dataclass(frozen=True)
class Rig:
    destination: Destination
    account: Account
    list_name: str = "list:L1"
    key_name: str = "email"

    async def members(self) -> set[str]:
        ids = self.account.lists["L1"]
        return {held["email"] for own, held in self.account.profiles.items() if f"id-{own}" in ids}


@pytest_asyncio.fixture
async def lists_rig() -> AsyncIterator[Rig]:
    account = Account(profiles={"1": {"email": "ada"}, "2": {"email": "bob"}})
    async with KlaviyoDestination.open(KlaviyoSettings.model_validate(SETTINGS), account) as klaviyo:
        yield Rig(klaviyo, account)


class TestLists(ListsContract):
    """Klaviyo's, over an account that takes no other requests than those that Klaviyo describes."""
