"""What may go wrong between a warehouse of Databricks and whoever reads from it."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web

from tailrace.connector_kit.databricks_errors import failed
from tailrace.connector_kit.databricks_settings import DatabricksSettings
from tailrace.connector_kit.registry import validate_settings
from tailrace.connector_kit.warehouse import Reading
from tailrace.connector_kit.way_out import going_out_by
from tailrace.core.errors import CredentialsRefused, Invalid, SourceInvalid, SourceUnavailable
from tailrace.core.rows import Column, ColumnKind
from tailrace.runtime.http import AiohttpClient
from tailrace.testing.databricks_server import Databricks, databricks_server
from tailrace.testing.warehouse_contract import keys, read, rows, told
from tailrace.warehouses.databricks import DatabricksWarehouse
from tests.warehouses.databricks_rig import DatabricksRig, by_secret, opened

_COLUMNS = [Column("id", ColumnKind.INTEGER)]
_POST = "POST /api/2.0/sql/statements"


@pytest_asyncio.fixture
async def workspace() -> AsyncIterator[Databricks]:
    async with databricks_server() as server:
        server.rows_per_piece = 5
        yield server


@pytest_asyncio.fixture
async def rig(workspace: Databricks) -> AsyncIterator[DatabricksRig]:
    async with opened(workspace) as warehouse:
        yield DatabricksRig(warehouse, workspace)


@pytest.fixture
def query(rig: DatabricksRig) -> str:
    """One of 32 rows, which are seven pieces."""
    return rig.query(_COLUMNS, [[str(n)] for n in range(32)])


async def test_rows_of_all_pieces_come_once(rig: DatabricksRig, query: str) -> None:
    found = rows(await read(rig, query, "id"))

    assert sorted(found) == [(n,) for n in range(32)]


async def test_no_more_than_two_pieces_are_fetched_ahead(rig: DatabricksRig, query: str) -> None:
    async with rig.warehouse.read(Reading(query, ("id",), rows_per_block=5)) as blocks:
        await anext(blocks)
        # Time enough to fetch all of them.
        await rig.warehouse.columns(query)

    assert sum(call.startswith("GET /storage/") for call in rig.workspace.calls) <= 3


async def test_link_is_asked_for_only_when_its_piece_is_to_be_loaded(rig: DatabricksRig, query: str) -> None:
    async with rig.warehouse.read(Reading(query, ("id",), rows_per_block=5)) as blocks:
        await anext(blocks)
        # Time enough to ask for more.
        await rig.warehouse.check()

    about_pieces = [call for call in rig.workspace.calls if "/chunks/" in call or "/storage/" in call]
    assert "/storage/" in about_pieces[-1]


async def test_short_result_within_an_answer_may_have_pieces_too(rig: DatabricksRig) -> None:
    columns = [Column(f"c{n}", ColumnKind.TEXT) for n in range(12)]

    assert await rig.warehouse.columns(rig.query(columns, [["x"] * 12])) == columns


async def test_link_that_has_ended_is_asked_for_again(rig: DatabricksRig, query: str) -> None:
    rig.workspace.dead_links = 2

    assert len(rows(await read(rig, query, "id"))) == 32


async def test_link_that_never_lets_in_is_an_outage(rig: DatabricksRig, query: str) -> None:
    rig.workspace.dead_links = 1000

    with pytest.raises(SourceUnavailable, match="HTTP 403"):
        await read(rig, query, "id")


async def test_token_that_ends_in_the_middle_of_a_reading_is_renewed(workspace: Databricks) -> None:
    async with opened(workspace, **by_secret(workspace)) as warehouse:
        query = DatabricksRig(warehouse, workspace).query(_COLUMNS, [[str(n)] for n in range(32)])
        found = []
        async with warehouse.read(Reading(query, ("id",), rows_per_block=5)) as blocks:
            async for block in blocks:
                workspace.end_tokens()
                found += keys([block])

    assert sorted(map(str, found)) == sorted(str((str(n),)) for n in range(32))
    assert workspace.tokens_given > 1


async def test_wrong_secret_of_a_principal_is_refused_without_being_told(workspace: Databricks) -> None:
    async with opened(workspace, **by_secret(workspace) | {"client_secret": "c4nary"}) as warehouse:
        with pytest.raises(CredentialsRefused) as refused:
            await warehouse.check()

    assert "c4nary" not in told(refused.value)


async def test_busy_workspace_is_asked_again(rig: DatabricksRig) -> None:
    rig.workspace.moods = [web.Response(status=429, headers={"Retry-After": "0"}), web.Response(status=503)]

    await rig.warehouse.check()

    assert rig.workspace.calls.count(_POST) == 3


async def test_statement_that_may_have_begun_is_not_sent_again(rig: DatabricksRig) -> None:
    rig.workspace.moods = [web.Response(status=502)]

    with pytest.raises(SourceUnavailable):
        await rig.warehouse.check()

    assert rig.workspace.calls == [_POST]


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, CredentialsRefused), (403, CredentialsRefused), (404, SourceInvalid), (400, SourceInvalid)],
)
async def test_refusal_says_what_to_do_and_nothing_of_the_answer(
    rig: DatabricksRig, status: int, error: type[Exception]
) -> None:
    rig.workspace.moods = [web.Response(status=status, text="c4nary")]

    with pytest.raises(error) as refused:
        await rig.warehouse.check()

    assert "c4nary" not in told(refused.value)


async def test_answer_that_cannot_be_understood_is_an_outage(rig: DatabricksRig) -> None:
    rig.workspace.moods = [web.json_response({})]

    with pytest.raises(SourceUnavailable, match="not as its reference says"):
        await rig.warehouse.check()


async def test_statement_that_its_last_rows_have_closed_is_one_that_succeeded(rig: DatabricksRig) -> None:
    rig.workspace.moods = [
        web.json_response(
            {
                "statement_id": "s",
                "status": {"state": "CLOSED"},
                "manifest": {"total_row_count": 1},
                "result": {"chunk_index": 0, "row_offset": 0, "row_count": 1, "data_array": [["1"]]},
            }
        )
    ]

    await rig.warehouse.check()


async def test_statement_that_is_closed_without_rows_is_an_outage(rig: DatabricksRig) -> None:
    rig.workspace.moods = [web.json_response({"statement_id": "s", "status": {"state": "CLOSED"}})]

    with pytest.raises(SourceUnavailable, match="CLOSED"):
        await rig.warehouse.check()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("[CAST_INVALID_INPUT] The value [C4NARY] cannot be cast.", "CAST_INVALID_INPUT"),
        ("org.apache.spark.SparkException: [DIVIDE_BY_ZERO] Division by zero.", "DIVIDE_BY_ZERO"),
        ("no match for [C4NARY] in this row", "BAD_REQUEST"),
    ],
)
def test_failure_names_its_class_and_no_value_in_brackets(words: str, named: str) -> None:
    error = failed({"state": "FAILED", "error": {"error_code": "BAD_REQUEST", "message": words}}, is_described=False)

    assert f"({named})" in error.message
    assert "C4NARY" not in told(error)


async def test_result_that_was_cut_off_is_refused(rig: DatabricksRig, query: str) -> None:
    rig.workspace.is_truncated = True

    with pytest.raises(SourceInvalid, match="larger than Databricks gives"):
        await read(rig, query, "id")


async def test_result_that_is_gone_is_an_outage(rig: DatabricksRig, query: str) -> None:
    async with rig.warehouse.read(Reading(query, ("id",), rows_per_block=5)) as blocks:
        await anext(blocks)
        rig.workspace.moods = [web.Response(status=404)]
        with pytest.raises(SourceUnavailable, match="keeps for an hour"):
            [block async for block in blocks]


async def test_piece_that_is_too_long_is_not_asked_for_again(rig: DatabricksRig, query: str) -> None:
    rig.workspace.blank_bytes = 65 << 20

    with pytest.raises(SourceInvalid, match="longer than 64 MiB"):
        await read(rig, query, "id")

    assert sum(call.startswith("GET /storage/") for call in rig.workspace.calls) == 1


async def test_piece_with_a_row_missing_ends_the_reading_before_its_rows_are_given(
    rig: DatabricksRig, query: str
) -> None:
    rig.workspace.lost_rows = 1

    async with rig.warehouse.read(Reading(query, ("id",))) as blocks:
        with pytest.raises(SourceUnavailable, match="4 rows of a result that are not those"):
            await anext(blocks)


async def test_piece_that_comes_twice_is_not_given_twice(rig: DatabricksRig, query: str) -> None:
    rig.workspace.is_stuck = True

    with pytest.raises(SourceUnavailable, match="not those which it told"):
        await read(rig, query, "id")


async def test_warehouse_that_does_not_wake_up_is_given_up_and_the_statement_stopped(workspace: Databricks) -> None:
    workspace.is_asleep = True
    async with opened(workspace, statement_timeout_s=1) as warehouse:
        with pytest.raises(SourceUnavailable) as stopped:
            await warehouse.check()

    assert stopped.value.code == "SOURCE_TIMEOUT"
    assert workspace.statements_running == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "http://example.com"])
async def test_host_that_is_not_public_or_not_by_https_is_refused(workspace: Databricks, host: str) -> None:
    settings = validate_settings(DatabricksSettings, workspace.settings | {"host": host})

    async with AiohttpClient.open(allow_private=False) as http:
        with going_out_by(http), pytest.raises(SourceInvalid, match="cannot be reached"):
            async with DatabricksWarehouse.open(settings) as warehouse:
                await warehouse.check()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"access_token": None}, "either access_token"),
        ({"client_id": "c", "client_secret": "s"}, "either access_token"),
        ({"access_token": None, "client_id": "c"}, "go together"),
        ({"host": "host/path"}, "host"),
        ({"host": "user@host"}, "host"),
    ],
)
def test_settings_that_cannot_work_are_refused(options: dict[str, object], why: str) -> None:
    raw = {"host": "dbc.example.com", "warehouse_id": "w", "access_token": "t"}

    with pytest.raises(Invalid, match=why):
        validate_settings(DatabricksSettings, raw | options)
