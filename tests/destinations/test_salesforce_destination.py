"""The answers are made after Salesforce's guides to collections, Bulk API 2.0 and OAuth."""

from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tailrace.connector_kit.destination import Target, WritePlan
from tailrace.connector_kit.http import HttpResponse
from tailrace.connector_kit.registry import destination_type, validate_settings
from tailrace.core.batches import Batch, BatchResult
from tailrace.core.errors import CredentialsRefused, DestinationInvalid, DestinationUnavailable, InDoubt, Throttled
from tailrace.core.rows import DELIVERED, Operation, Row, RowKey, RowOutcome, Verdict
from tailrace.core.snapshots import hash_row
from tailrace.core.syncs import SyncMode
from tailrace.destinations.salesforce import SalesforceDestination, SalesforceSettings
from tailrace.testing.fake_http import answer
from tests.destinations.clocks import Clock
from tests.destinations.salesforce_org import Org, table

CLIENT = {"domain": "acme--uat.sandbox", "client_id": "3MVG9", "client_secret": "canary-client-secret"}
UPSERT_PATH = "/composite/sobjects/Account/Ext__c"
TARGET = Target("Account", Operation.UPSERT, ("Ext__c",), ("Ext__c", "Name"))


@asynccontextmanager
async def opened(org: Org, **settings: object) -> AsyncIterator[SalesforceDestination]:
    given = validate_settings(SalesforceSettings, CLIENT | {"bulk_from_rows": 1000} | settings)
    yield SalesforceDestination(given, org, Clock())


async def put(org: Org, names: list[str | None], **settings: object) -> BatchResult:
    async with opened(org, **settings) as destination:
        return await destination.write(await destination.plan(TARGET), batch(names))


def batch(names: list[str | None]) -> Batch:
    bodies = [orjson.dumps({"Ext__c": f"e{at}", "Name": name}) for at, name in enumerate(names)]
    rows = [Row(RowKey((f"e{at}",)), body, hash_row(body)) for at, body in enumerate(bodies)]
    return Batch(Operation.UPSERT, rows, "batch-1")


@cache
def key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


def rejections(outcomes: Sequence[RowOutcome]) -> dict[int, str]:
    return {at: each.code for at, each in enumerate(outcomes) if each.verdict is not Verdict.DELIVERED}


async def test_few_rows_go_two_hundred_a_request_and_each_has_its_outcome() -> None:
    org = Org()

    result = await put(org, ["Mallory" if at in {0, 250, 449} else "Ada" for at in range(450)])

    assert rejections(result.outcomes) == {0: "INVALID_NAME", 250: "INVALID_NAME", 449: "INVALID_NAME"}
    assert result.outcomes[250].field == "Name"
    assert org.calls.count(("PATCH", UPSERT_PATH)) == 3
    assert len(org.accounts) == 447


async def test_many_rows_become_a_job_whose_results_are_joined_by_the_key() -> None:
    org = Org()

    result = await put(org, ['M "a", \n b' if at == 1 else "Mallory" if at in {3, 998} else None for at in range(1000)])

    [job] = org.jobs.values()
    assert rejections(result.outcomes) == {3: "INVALID_NAME", 998: "INVALID_NAME"}
    assert result.outcomes[3].message == "not this one:Name --"
    assert job["wanted"] == {
        "object": "Account",
        "operation": "upsert",
        "contentType": "CSV",
        "lineEnding": "LF",
        "columnDelimiter": "COMMA",
        "externalIdFieldName": "Ext__c",
    }
    assert (org.accounts["e1"]["Name"], org.accounts["e2"]["Name"]) == ('M "a", \n b', None)


async def test_job_that_takes_long_is_asked_about_again_and_not_made_twice() -> None:
    org = Org()
    org.looks_until_done = 40
    async with opened(org) as destination:
        plan = await destination.plan(TARGET)

        with pytest.raises(Throttled):
            await destination.write(plan, batch(["Ada"] * 1000))
        result = await destination.write(plan, batch(["Ada"] * 1000))

    assert list(result.outcomes) == [DELIVERED] * 1000
    assert len(org.jobs) == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/jobs/ingest"), ("PUT", "/jobs/ingest/7500/batches"), ("GET", "/jobs/ingest/7500")],
)
async def test_answer_that_is_lost_on_the_way_to_a_job_is_no_doubt(method: str, path: str) -> None:
    org = Org()
    org.override(method, path, InDoubt("lost"))

    with pytest.raises(DestinationUnavailable):
        await put(org, ["Ada"] * 1000)


async def test_job_whose_closing_was_lost_is_closed_by_the_next_attempt() -> None:
    org = Org()
    org.override("PATCH", "/jobs/ingest/7500", InDoubt("lost"))
    async with opened(org) as destination:
        plan = await destination.plan(TARGET)

        with pytest.raises(InDoubt):
            await destination.write(plan, batch(["Ada"] * 1000))
        result = await destination.write(plan, batch(["Ada"] * 1000))

    assert list(result.outcomes) == [DELIVERED] * 1000
    assert len(org.jobs) == 1


async def test_job_whose_counts_do_not_come_out_is_in_doubt() -> None:
    org = Org()
    org.override("GET", "/jobs/ingest/7500/failedResults", answer(200, table(["sf__Error", "Ext__c"], []).encode()))

    with pytest.raises(InDoubt, match="1 failed"):
        await put(org, ["Mallory", *["Ada"] * 999])


async def test_rows_that_a_job_did_not_come_to_are_tried_again() -> None:
    org = Org()
    left = table(["Ext__c", "Name"], [{"Ext__c": "e5", "Name": "Ada"}])
    counts = {"state": "Aborted", "numberRecordsProcessed": 999, "numberRecordsFailed": 0}
    org.override("GET", "/jobs/ingest/7500", answer(200, counts))
    org.override("GET", "/jobs/ingest/7500/unprocessedrecords", answer(200, left.encode()))

    result = await put(org, ["Ada"] * 1000)

    assert rejections(result.outcomes) == {5: "NOT_PROCESSED"}
    assert result.outcomes[5].verdict is Verdict.RETRY


async def test_field_that_a_row_of_a_job_leaves_out_keeps_what_it_holds() -> None:
    org = Org()
    await put(org, ["Ada", "Bo"], bulk_from_rows=2)
    cleared = batch([None, None])
    body = b'{"Ext__c":"e0"}'
    left_out = replace(cleared, rows=[Row(RowKey(("e0",)), body, hash_row(body)), cleared.rows[1]])

    async with opened(org, bulk_from_rows=2) as destination:
        await destination.write(await destination.plan(TARGET), left_out)

    assert (org.accounts["e0"]["Name"], org.accounts["e1"]["Name"]) == ("Ada", None)


async def test_text_that_a_job_would_take_for_null_is_rejected() -> None:
    result = await put(Org(), ["#N/A", *["Ada"] * 999])

    assert rejections(result.outcomes) == {0: "NOT_REPRESENTABLE"}


@pytest.mark.parametrize(
    ("failure", "first", "rest"),
    [
        (answer(429, {}, {"retry-after": "7"}), ("NOT_SENT", 7.0), ("NOT_SENT", 7.0)),
        (answer(503), ("NOT_SENT", None), ("NOT_SENT", None)),
        (InDoubt("lost"), ("IN_DOUBT", None), ("NOT_SENT", None)),
        (answer(400, [{"errorCode": "JSON_PARSER_ERROR", "message": "no"}]), ("NOT_SENT", None), ("NOT_SENT", None)),
    ],
    ids=["throttled", "outage", "lost", "refused"],
)
async def test_failure_after_a_part_was_applied_is_told_row_by_row(
    failure: HttpResponse | Exception, first: tuple[str, float], rest: tuple[str, float]
) -> None:
    org = Org()
    org.override("PATCH", UPSERT_PATH, answer(200, [{"success": True, "id": "1"}] * 200), failure)

    result = await put(org, ["Ada"] * 500)

    told = [(each.code, each.retry_after_s) for each in result.outcomes]
    assert told == [("", None)] * 200 + [first] * 200 + [rest] * 100


async def test_failure_before_anything_was_applied_is_one_of_the_call() -> None:
    org = Org()
    org.override("PATCH", UPSERT_PATH, answer(403, [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "no"}]))

    with pytest.raises(Throttled) as throttled:
        await put(org, ["Ada"] * 500)

    assert throttled.value.retry_after_s == 30


async def test_session_that_ended_is_renewed() -> None:
    org = Org()
    org.override("PATCH", UPSERT_PATH, answer(401, [{"errorCode": "INVALID_SESSION_ID", "message": "expired"}]))

    result = await put(org, ["Ada"])

    assert result.outcomes == [DELIVERED]
    assert org.token == 2


async def test_user_signs_in_by_an_assertion_at_the_right_place() -> None:
    org = Org()
    pem = key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    user = {"sign_in_by": "jwt_bearer", "private_key": pem, "username": "ada@acme.example", "login": "sandbox"}

    await put(org, ["Ada"], **user)

    [form] = org.forms
    claims = orjson.loads(urlsafe_b64decode(form["assertion"][0].split(".")[1] + "=="))
    assert {name: claims[name] for name in ("iss", "sub", "aud")} == {
        "iss": "3MVG9",
        "sub": "ada@acme.example",
        "aud": "https://test.salesforce.com",
    }


async def test_client_signs_in_by_its_secret() -> None:
    org = Org()

    await put(org, ["Ada"])

    [form] = org.forms
    assert form == {
        "grant_type": ["client_credentials"],
        "client_id": ["3MVG9"],
        "client_secret": ["canary-client-secret"],
    }


async def test_client_that_may_not_is_refused_and_no_row_with_it() -> None:
    org = Org()
    org.override("GET", "/limits", answer(403, [{"errorCode": "API_DISABLED_FOR_ORG", "message": "no"}]))

    async with opened(org) as destination:
        with pytest.raises(CredentialsRefused):
            await destination.check()


async def test_objects_and_fields_are_those_that_are_described() -> None:
    async with opened(Org()) as destination:
        objects = await destination.objects()
        fields = await destination.fields("Account")

    assert [(each.name, each.writable) for each in objects] == [("Account", True), ("AccountHistory", False)]
    assert [each.name for each in fields if each.external_id] == ["Ext__c"]
    assert [each.name for each in fields if not each.updateable] == ["Id", "CreatedDate"]


@pytest.mark.parametrize(
    ("target", "told"),
    [
        (Target("Account", Operation.UPSERT, ("Name",), ("Name",)), "'Name' identifies no Account; one of these"),
        (Target("Account", Operation.UPSERT, ("Ext__c",), ("Ext__c", "CreatedDate")), "no field to write to"),
        (Target("Account", Operation.UPDATE, ("Ext__c",), ("Ext__c",)), "one of these does: Id"),
        (Target("Account", Operation.DELETE, ("Id",), ("Id",)), "'Id' identifies no Account"),
    ],
)
async def test_target_that_cannot_be_served_is_refused(target: Target, told: str) -> None:
    async with opened(Org()) as destination:
        with pytest.raises(DestinationInvalid, match=told):
            await destination.plan(target)


async def test_plan_allows_as_many_rows_as_a_job_begins_with() -> None:
    async with opened(Org(), bulk_from_rows=2000) as destination:
        plan = await destination.plan(TARGET)

    assert (plan.rows_per_batch, plan.is_idempotent) == (2000, True)
    assert isinstance(plan, WritePlan)


def test_registry_finds_the_class_that_builds_on_its_manifest() -> None:
    assert destination_type("salesforce") is SalesforceDestination


async def test_records_are_mirrored_by_their_external_id() -> None:
    org, target = Org(), Target("Account", Operation.DELETE, ("Ext__c",), ("Ext__c",))
    await put(org, [f"name {at}" for at in range(450)])
    del org.accounts["e7"]

    async with opened(org) as destination:
        [account, *_] = await destination.objects()
        made = replace(batch([None] * 449), operation=Operation.DELETE)
        result = await destination.write(await destination.plan(target), made)

    assert SyncMode.MIRROR in account.modes
    assert result.outcomes == [DELIVERED] * 449
    assert sorted(org.accounts) == ["e449"]
