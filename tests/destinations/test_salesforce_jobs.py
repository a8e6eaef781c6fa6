"""Deletes by a job of Bulk API 2.0, and what a job does not take."""

from dataclasses import replace

import orjson
import pytest

from tailrace.connector_kit.destination import Target
from tailrace.core.batches import Batch, BatchResult
from tailrace.core.errors import BatchRefused, DestinationUnavailable, InDoubt, Unfinished
from tailrace.core.rows import DELIVERED, Operation, Row, RowKey
from tailrace.core.snapshots import hash_row
from tailrace.destinations.salesforce import BATCH_BYTES, SalesforceDestination
from tailrace.testing.fake_http import answer
from tests.destinations.salesforce_org import Org
from tests.destinations.test_salesforce_destination import TARGET, batch, opened, rejections

ROWS = 450
DELETES = Target("Account", Operation.DELETE, ("Ext__c",), ("Ext__c",))


def an_org() -> Org:
    """An organisation with so many accounts."""
    org = Org()
    org.accounts = {f"e{at}": {"Ext__c": f"e{at}"} for at in range(ROWS)}
    return org


async def delete(destination: SalesforceDestination) -> BatchResult:
    made = replace(batch([None] * ROWS), operation=Operation.DELETE)
    return await destination.write(await destination.plan(DELETES), made)


async def test_many_deletes_become_a_job_of_the_ids_that_are_found() -> None:
    org = an_org()
    del org.accounts["e7"]

    async with opened(org, bulk_from_rows=100) as destination:
        result = await delete(destination)

    [job] = org.jobs.values()
    assert (result.outcomes, org.accounts) == ([DELIVERED] * ROWS, {})
    assert (job["wanted"]["operation"], job["csv"].count("\n")) == ("delete", ROWS)
    assert [method for method, _ in org.calls if method == "DELETE"] == []


async def test_deletes_of_what_is_not_there_make_no_job() -> None:
    org = Org()

    async with opened(org, bulk_from_rows=100) as destination:
        result = await delete(destination)

    assert (result.outcomes, org.jobs) == ([DELIVERED] * ROWS, {})


async def test_job_that_takes_long_is_asked_about_again_for_the_same_rows() -> None:
    org = an_org()
    org.looks_until_done = 30

    async with opened(org, bulk_from_rows=100) as destination:
        with pytest.raises(Unfinished):
            await delete(destination)
        asked = len([call for call in org.calls if call[1] == "/query"])
        again = await delete(destination)

    assert (again.outcomes, len(org.jobs)) == ([DELIVERED] * ROWS, 1)
    assert len([call for call in org.calls if call[1] == "/query"]) == asked == 3


async def test_job_whose_closing_was_lost_deletes_the_same_rows() -> None:
    org = an_org()
    org.override("PATCH", "/jobs/ingest/7500", InDoubt("the answer is lost"))

    async with opened(org, bulk_from_rows=100) as destination:
        with pytest.raises(InDoubt):
            await delete(destination)
        again = await delete(destination)

    assert (again.outcomes, len(org.jobs), org.accounts) == ([DELIVERED] * ROWS, 1, {})


async def test_question_for_ids_that_fails_deletes_nothing() -> None:
    org = an_org()
    org.override("GET", "/query", answer(503))

    async with opened(org, bulk_from_rows=100) as destination:
        with pytest.raises(DestinationUnavailable):
            await delete(destination)

    assert (len(org.accounts), org.jobs) == (ROWS, {})


async def test_record_that_somebody_else_deleted_meanwhile_is_deleted() -> None:
    org = an_org()
    stale = [{"Id": f"id-{key}", "Ext__c": key} for key in [*(f"e{at}" for at in range(200)), "e0"]]
    del org.accounts["e3"]
    org.override("GET", "/query", answer(200, {"done": True, "records": stale}))

    async with opened(org, bulk_from_rows=100) as destination:
        result = await delete(destination)

    assert (result.outcomes, org.accounts) == ([DELIVERED] * ROWS, {})


async def test_key_that_several_records_have_is_rejected_and_the_others_go() -> None:
    org = an_org()
    found = [{"Id": "other", "Ext__c": "e5"}, *({"Id": f"id-e{at}", "Ext__c": f"e{at}"} for at in range(200))]
    org.override("GET", "/query", answer(200, {"done": True, "records": found}))

    async with opened(org, bulk_from_rows=100) as destination:
        result = await delete(destination)

    assert rejections(result.outcomes) == {5: "AMBIGUOUS_KEY"}
    assert sorted(org.accounts) == ["e5"]


async def test_results_of_a_job_may_be_every_row_and_what_is_wrong_with_it() -> None:
    org = an_org()

    async with opened(org, bulk_from_rows=100) as destination:
        await delete(destination)

    assert min(org.takes_bytes["failedResults"], org.takes_bytes["unprocessedrecords"]) > 3 * BATCH_BYTES


async def test_keys_that_a_job_takes_for_one_are_sent_apart() -> None:
    org = Org()
    bodies = [b'{"Ext__c":"1","Name":"a"}', b'{"Ext__c":1,"Name":"b"}']
    rows = [Row(RowKey((str(at),)), body, hash_row(body)) for at, body in enumerate(bodies)]

    async with opened(org, bulk_from_rows=2) as destination:
        plan = await destination.plan(TARGET)
        with pytest.raises(BatchRefused):
            await destination.write(plan, Batch(Operation.UPSERT, rows, "batch-1"))

    assert org.jobs == {}


async def test_row_that_a_job_would_not_take_is_rejected_and_the_others_go() -> None:
    names = [f"F{at}__c" for at in range(14)]
    bodies = [
        {"Ext__c": "e0", "Name": "x" * 32_001},
        {"Ext__c": "e1", "Name": "x", **dict.fromkeys(names, "y" * 30_000)},
        {"Ext__c": "e2", "Name": "x" * 32_000},
    ]
    rows = [Row(RowKey((str(each["Ext__c"]),)), made := orjson.dumps(each), hash_row(made)) for each in bodies]

    async with opened(Org(), bulk_from_rows=2) as destination:
        result = await destination.write(await destination.plan(TARGET), Batch(Operation.UPSERT, rows, "batch-1"))

    assert rejections(result.outcomes) == {0: "NOT_REPRESENTABLE", 1: "ROW_TOO_LARGE"}
    assert result.outcomes[0].field == "Name"
