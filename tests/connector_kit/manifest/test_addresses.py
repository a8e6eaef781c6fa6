"""Settings in the addresses of questions."""

import pytest
from pydantic import ValidationError

from tailrace.connector_kit.destination import Target
from tailrace.connector_kit.manifest.engine import destination_of
from tailrace.connector_kit.manifest.model import Fields, Listing, Manifest, Objects
from tailrace.connector_kit.manifest.rehearsal import PROMISES, Promise, rehearse
from tailrace.connector_kit.manifest.settings import Setting
from tailrace.core.rows import Operation
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
