"""Every promise against every habit; and that a promise which does not hold is found."""

import re
from collections.abc import Mapping

import pytest

from tailrace.connector_kit.manifest.answer_rules import AnswerRule, Then
from tailrace.connector_kit.manifest.auth import (
    AnyAuth,
    ApiKey,
    Basic,
    Bearer,
    ClientCredentials,
    EitherGrant,
    JwtBearer,
    NoAuth,
    RefreshToken,
)
from tailrace.connector_kit.manifest.model import Fields, Hooks, KnownField, Manifest
from tailrace.connector_kit.manifest.rehearsal import (
    PROMISES,
    Promise,
    a_throttle_is_waited_for,
    expired_credentials_are_renewed_once_or_refused,
    rehearse,
    the_row_that_failed_is_rejected_and_no_other,
)
from tailrace.connector_kit.manifest.settings import Setting
from tailrace.connector_kit.manifest.stage import staged
from tailrace.connector_kit.manifest.templates import Slot
from tailrace.core.errors import InDoubt
from tailrace.core.rows import Operation
from tests.connector_kit.manifest.vendors import DOCS, FIXED_FIELDS, IN_THE_PATH, LOOKED_UP, NINE, vendor, write

TOKENS = "https://vendor.example/token"
EIGHT: dict[str, AnyAuth] = {
    "none": NoAuth(),
    "bearer": Bearer(),
    "api key": ApiKey(header="X-Key", value="Key {api_key}"),
    "basic": Basic(names=("site_id", "key")),
    "basic with a fixed user": Basic(fixed_user="any"),
    "client credentials": ClientCredentials(token_url=TOKENS, source=DOCS),
    "refresh token": RefreshToken(token_url=TOKENS, source=DOCS),
    "either": EitherGrant(
        ways=(ClientCredentials(token_url=TOKENS, source=DOCS), RefreshToken(token_url=TOKENS, source=DOCS))
    ),
    "jwt bearer": JwtBearer(token_url=TOKENS, source=DOCS, issuer="us", audience=TOKENS),
}


def short(fields: Mapping[str, object]) -> Mapping[str, object]:
    if not re.fullmatch(r"[a-z]{2}", str(fields["country"])):
        raise ValueError("country: two letters")
    return fields


PICKY = vendor(
    *[write(NINE["aligned"], row={"id": Slot.KEY, "country": "$fields.country"})] * 4,
    settings=(Setting(name="account", description="whose", pattern="[0-9]+", example="77"),),
    base_url="https://vendor.example/{account}",
    fields=Fields(known=(KnownField(name="id", is_key=True), KnownField(name="country", example="ch"))),
    hooks=Hooks(row=short),
)
VENDORS = {
    **{habit: vendor(write(attribution)) for habit, attribution in NINE.items()},
    **{habit: vendor(write(NINE["aligned"]), auth=auth) for habit, auth in EIGHT.items()},
    "looked up": LOOKED_UP,
    "in the path": IN_THE_PATH,
    "takes known fields of some values only": PICKY,
    "deleted by body": vendor(
        *[write(NINE["aligned"])] * 3, write(NINE["all or nothing"], method="DELETE", deletes_by_body=True)
    ),
    "fields of a fixed set, changed by a hook": FIXED_FIELDS,
}


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize("manifest", VENDORS.values(), ids=VENDORS)
async def test_promise_holds_whatever_the_vendor_s_habits(manifest: Manifest, promise: Promise) -> None:
    assert await rehearse(manifest, promise) == []


@pytest.mark.parametrize(
    ("promise", "rule"),
    [
        (a_throttle_is_waited_for, AnswerRule(status=(429,), then=Then.REFUSED)),
        (expired_credentials_are_renewed_once_or_refused, AnswerRule(status=(401,), then=Then.DELIVERED)),
        (the_row_that_failed_is_rejected_and_no_other, AnswerRule(status=(200,), then=Then.DELIVERED)),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
async def test_manifest_that_breaks_a_promise_is_found(promise: Promise, rule: AnswerRule) -> None:
    [finding] = await rehearse(vendor(write(NINE["aligned"]), rules=(rule,)), promise)

    assert finding.operation == "upsert"
    assert finding.promise == promise.__name__.replace("_", " ")


async def test_answer_that_speaks_of_fewer_rows_than_were_sent_is_in_doubt() -> None:
    async with staged(vendor(write(NINE["single"])), Operation.UPSERT) as stage:
        stage.answer(1)

        with pytest.raises(InDoubt, match="1 of 2 rows"):
            await stage.send(2)
