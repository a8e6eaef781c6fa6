"""Settings in the addresses of questions."""

import pytest
from pydantic import ValidationError

from tailrace.connector_kit.destination import Target
from tailrace.connector_kit.manifest.engine import destination_of
from tailrace.connector_kit.manifest.model import Fields, Listing, Manifest, Objects
from tailrace.connector_kit.manifest.rehearsal import PROMISES, Promise, rehearse
from tailrace.connector_kit.manifest.settings import Setting
from tailrace.core.batches import Batch
from tailrace.core.errors import InDoubt
from tailrace.core.rows import Operation, Row, RowKey
from tailrace.core.snapshots import hash_row
from tailrace.testing.fake_http import FakeHttp, answer
from tests.connector_kit.manifest.vendors import NINE, vendor, write

ACCOUNT = Setting(name="account", description="whose objects they are")
LISTS = Objects(listing=Listing(path="/of_{account}/lists?fields=name", each="lists", next="next"))
FIELDS = Fields(listing=Listing(path="/of_{account}/lists/{object}/fields", each="fields"))


def of_an_account(check: str = "/of_{account}", settings: tuple[Setting, ...] = (ACCOUNT,)) -> Manifest:
    return vendor(write(NINE["aligned"]), check=check, settings=settings, objects=LISTS, fields=FIELDS)


async def test_questions_are_asked_for_the_account_of_the_settings() -> None:
    connector = destination_of(of_an_account())
    http = FakeHttp(
        answer(200, {}),
        answer(200, {"lists": [{"name": "{account}"}], "next": "{account}"}),
        answer(200, {"lists": []}),
        answer(200, {"lists": [{"name": "{account}"}]}),
        answer(200, {"fields": [{"name": "id"}]}),
    )
    settings = connector.settings_type.model_validate({"token": "t", "account": "77"})

    async with connector.open(settings, http) as destination:
        await destination.check()
        await destination.objects()
        await destination.plan(Target("{account}", Operation.UPSERT, ("id",), ("id",)))

    assert [request.url.removeprefix("https://vendor.example") for request in http.requests] == [
        "/of_77",
        "/of_77/lists?fields=name",
        "/of_77/lists?fields=name&after=%7Baccount%7D",
        "/of_77/lists?fields=name",
        "/of_77/lists/%7Baccount%7D/fields",
    ]


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
async def test_promise_holds_where_settings_stand_in_addresses(promise: Promise) -> None:
    assert await rehearse(of_an_account(), promise) == []


@pytest.mark.parametrize(
    ("check", "settings", "told"),
    [
        ("/of_{tenant}", (ACCOUNT,), "check names a setting that there is not: tenant"),
        ("/{object}", (ACCOUNT,), "check names a setting that there is not: object"),
        ("/me?key={token}", (ACCOUNT,), "check would show a secret: token"),
        ("/me", (), "objects.listing.path names a setting that there is not: account"),
    ],
    ids=["unknown", "no object", "secret", "in a listing"],
)
def test_address_that_cannot_be_filled_is_refused(check: str, settings: tuple[Setting, ...], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        of_an_account(check, settings)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("tenant", "a request names a setting that there is not: tenant"),
        ("token", "a request would show a secret: token"),
    ],
    ids=["unknown", "secret"],
)
@pytest.mark.parametrize("place", ["path", "row"])
def test_request_for_rows_that_cannot_be_filled_is_refused(name: str, told: str, place: str) -> None:
    parts: dict[str, dict[str, object]] = {
        "path": {"path": f"/rows?of={{settings.{name}}}"},
        "row": {"row": {"of": f"$settings.{name}"}},
    }

    with pytest.raises(ValidationError, match=told):
        vendor(write(NINE["aligned"], **parts[place]))


async def test_request_for_rows_is_filled_with_the_settings() -> None:
    row = {"of": "$settings.account", "key": "$key"}
    asked = write(NINE["aligned"], path="/rows?of={settings.account}", row=row)
    connector = destination_of(vendor(asked, settings=(ACCOUNT,)))
    http = FakeHttp(answer(200, {}))
    settings = connector.settings_type.model_validate({"token": "t", "account": "77"})
    body = b'{"id":"1"}'

    async with connector.open(settings, http) as destination:
        plan = await destination.plan(Target("people", Operation.UPSERT, ("id",), ("id",)))
        with pytest.raises(InDoubt):
            await destination.write(plan, Batch(Operation.UPSERT, [Row(RowKey(("1",)), body, hash_row(body))], "batch"))

    assert http.requests[-1].url == "https://vendor.example/rows?of=77"
    assert b'{"of":"77","key":"1"}' in http.requests[-1].body
