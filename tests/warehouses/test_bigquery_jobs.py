"""Jobs, pages, and what the service does to them: tokens that end, throttles, answers that are lost."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tailrace.connector_kit.bigquery_jobs import records_of
from tailrace.connector_kit.warehouse import Reading
from tailrace.core.errors import CredentialsRefused, SourceInvalid, SourceUnavailable, TailraceError
from tailrace.runtime.http import AiohttpClient
from tailrace.testing.bigquery_stand_in import BigQueryStandIn, Fault
from tailrace.testing.eventually import eventually
from tailrace.testing.warehouse_contract import read, rows, told, use
from tailrace.warehouses.bigquery import BigQueryWarehouse
from tests.warehouses.bigquery_rig import BigQueryRig, opened, settings

_NUMBERS = "SELECT n AS id FROM UNNEST(GENERATE_ARRAY(1, 5000)) AS n"
_SOON = {"Retry-After": "0"}


@pytest_asyncio.fixture
async def rig(bigquery: BigQueryStandIn) -> AsyncIterator[BigQueryRig]:
    async with opened(settings(bigquery)) as warehouse:
        yield BigQueryRig(warehouse, bigquery)


async def test_rows_of_many_pages_come_once_and_in_order(rig: BigQueryRig) -> None:
    rig.project.rows_per_page = 300

    found = rows(await read(rig, _NUMBERS, "id"))

    assert found == [(int(text),) for text in sorted(map(str, range(1, 5001)))]
    assert len(rig.project.pages) == 17


async def test_pages_are_not_asked_for_before_there_is_room(rig: BigQueryRig) -> None:
    rig.project.rows_per_page = 50
    async with rig.warehouse.read(Reading(_NUMBERS, ("id",), rows_per_block=50)) as blocks:
        await anext(blocks)
        await asyncio.sleep(0.3)

        assert len(rig.project.pages) < 10


async def test_reading_that_is_left_stops_asking(rig: BigQueryRig) -> None:
    rig.project.rows_per_page = 50
    async with rig.warehouse.read(Reading(_NUMBERS, ("id",), rows_per_block=50)) as blocks:
        await anext(blocks)

    asked = len(rig.project.pages)
    await asyncio.sleep(0.2)
    assert len(rig.project.pages) == asked


async def test_rows_that_end_too_early_are_no_end(rig: BigQueryRig) -> None:
    rig.project.rows_per_page = 300
    rig.project.pages_to_tell = 2

    with pytest.raises(SourceUnavailable, match="before all had come"):
        await read(rig, _NUMBERS, "id")


async def test_token_that_ends_in_the_middle_is_renewed(rig: BigQueryRig) -> None:
    rig.project.rows_per_page = 50
    async with rig.warehouse.read(Reading(_NUMBERS, ("id",), rows_per_block=50)) as blocks:
        found = [*(await anext(blocks)).rows]
        rig.project.expire()
        found += [row async for block in blocks for row in block.rows]

    assert len(set(found)) == len(found) == 5000
    assert len(rig.project.tokens) == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(429, "rateLimitExceeded", _SOON),
        Fault(403, "rateLimitExceeded"),
        Fault(403, "jobRateLimitExceeded"),
        Fault(503, "backendError", _SOON),
        Fault(500, "internalError"),
        Fault(400, "jobInternalError"),
        Fault(400, "tableUnavailable"),
    ],
    ids=lambda fault: f"{fault.status}-{fault.reason}",
)
async def test_what_passes_is_waited_for(rig: BigQueryRig, fault: Fault) -> None:
    rig.project.faults.append(fault)

    assert len(rows(await read(rig, "SELECT 'a' AS id", "id"))) == 1


async def test_an_answer_that_is_lost_makes_no_second_job(rig: BigQueryRig) -> None:
    await rig.warehouse.columns("SELECT 'a' AS id")
    rig.project.answers_to_lose = 2

    assert len(rows(await read(rig, "SELECT 'a' AS id", "id"))) == 1
    assert rig.project.jobs_made() == 1


async def test_job_that_is_not_found_at_once_is_asked_for_again(rig: BigQueryRig) -> None:
    await rig.warehouse.columns("SELECT 'a' AS id")
    rig.project.answers_to_lose = 1
    rig.project.times_unfound = 2

    assert len(rows(await read(rig, "SELECT 'a' AS id", "id"))) == 1
    assert rig.project.jobs_made() == 1


async def test_rows_that_are_gone_are_an_outage(rig: BigQueryRig) -> None:
    rig.project.rows_per_page = 50
    async with rig.warehouse.read(Reading(_NUMBERS, ("id",), rows_per_block=50)) as blocks:
        await anext(blocks)
        rig.project.times_unfound = 100

        with pytest.raises(SourceUnavailable, match="does not find the job"):
            _ = [block async for block in blocks]


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        (Fault(403, "accessDenied"), SourceInvalid, "SOURCE_QUERY"),
        (Fault(404, "notFound"), SourceInvalid, "SOURCE_QUERY"),
        (Fault(403, "quotaExceeded"), SourceUnavailable, "SOURCE_UNAVAILABLE"),
        (Fault(400, "bytesBilledLimitExceeded"), SourceInvalid, "SOURCE_QUERY"),
        (Fault(400, "billingTierLimitExceeded"), SourceInvalid, "SOURCE_QUERY"),
        (Fault(403, "billingNotEnabled"), SourceInvalid, "SOURCE_QUERY"),
        (Fault(400, "resourcesExceeded"), SourceInvalid, "SOURCE_QUERY"),
        (Fault(403, "responseTooLarge"), SourceInvalid, "SOURCE_QUERY"),
        (Fault(400, "stopped"), SourceUnavailable, "SOURCE_TIMEOUT"),
        (Fault(400, "timeout"), SourceUnavailable, "SOURCE_TIMEOUT"),
        (Fault(302, "found", {"Location": "http://127.0.0.1:1/"}), SourceUnavailable, "SOURCE_UNAVAILABLE"),
    ],
    ids=lambda value: value.reason if isinstance(value, Fault) else "",
)
async def test_refusal_is_told_as_what_it_is(
    rig: BigQueryRig, fault: Fault, kind: type[TailraceError], code: str
) -> None:
    rig.project.faults.append(fault)

    with pytest.raises(kind) as refused:
        await rig.warehouse.check()

    assert refused.value.code == code


async def test_outage_that_stays_is_told(rig: BigQueryRig) -> None:
    rig.project.faults.extend([Fault(503, "backendError", _SOON)] * 6)

    async with asyncio.timeout(40):
        with pytest.raises(SourceUnavailable, match="backendError"):
            await rig.warehouse.check()


async def test_project_of_others_is_refused_in_the_server_s_words(bigquery: BigQueryStandIn) -> None:
    with pytest.raises(SourceInvalid, match="Access Denied"):
        await use(opened(settings(bigquery, project="somebody-else")))


async def test_token_that_is_never_good_is_no_reason_to_ask_on(rig: BigQueryRig) -> None:
    rig.project.faults.extend([Fault(401, "authError")] * 2)

    with pytest.raises(CredentialsRefused):
        await rig.warehouse.check()


async def test_query_that_takes_too_long_is_stopped(bigquery: BigQueryStandIn) -> None:
    async with opened(settings(bigquery, statement_timeout_s=1)) as warehouse:
        rig = BigQueryRig(warehouse, bigquery)
        with pytest.raises(SourceUnavailable) as stopped:
            await read(rig, rig.endless_query, "id")

    assert stopped.value.code == "SOURCE_TIMEOUT"
    await eventually(bigquery.jobs_running, 0)


async def test_job_says_what_it_may_cost_and_where_names_are_looked_up(bigquery: BigQueryStandIn) -> None:
    options = {"maximum_bytes_billed": 10**10, "default_dataset": "shop", "statement_timeout_s": 30}
    async with opened(settings(bigquery, **options)) as warehouse:
        await warehouse.columns("SELECT 'a' AS id")

    configuration = bigquery.bodies[0]["configuration"]
    assert configuration["query"]["maximumBytesBilled"] == "10000000000"
    assert configuration["query"]["defaultDataset"] == {"projectId": bigquery.project, "datasetId": "shop"}
    assert (configuration["jobTimeoutMs"], configuration["dryRun"]) == ("30000", True)


async def test_private_address_is_not_reached_where_the_operator_does_not_let_it(bigquery: BigQueryStandIn) -> None:
    async with AiohttpClient.open(allow_private=False) as http:
        with pytest.raises(SourceInvalid) as refused:
            await use(opened(settings(bigquery), http))

    assert bigquery.tokens == []
    assert "127.0.0.1" not in told(refused.value)


async def test_it_is_opened_with_a_way_out_alone(bigquery: BigQueryStandIn) -> None:
    with pytest.raises(RuntimeError, match="going_out_by"):
        await use(BigQueryWarehouse.open(settings(bigquery)))


@pytest.mark.parametrize("answered", [[{"f": [{"v": "private"}]}], [{"f": []}], [{}], [None], [{"f": [{"w": "1"}]}]])
def test_answer_that_makes_no_sense_is_an_outage_that_tells_no_value(answered: list[Any]) -> None:
    with pytest.raises(SourceUnavailable, match="as its reference says") as refused:
        records_of(answered, [(0, int)])

    assert "private" not in told(refused.value)
