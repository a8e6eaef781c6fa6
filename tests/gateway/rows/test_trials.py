"""What a run would do, and one row sent to see what the destination says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp.test_utils import TestServer

from tailrace.core.runs import RunKind
from tailrace.core.syncs import SyncMode
from tailrace.runtime.http import AiohttpClient
from tailrace.store.connections import ConnectionDraft, ConnectionKind, Connections
from tailrace.store.database import Database
from tailrace_gateway.app import make_app
from tailrace_gateway.routes import ROUTES
from tailrace_gateway.stores import open_stores
from tests.executor.sink import Sink
from tests.executor.yard import Yard
from tests.faults.proxy import Proxy, open_proxy
from tests.gateway.caller import Answered, Caller, Json

RECORDED = "SELECT (SELECT count(*) FROM audit_records) + (SELECT count(*) FROM audit_waiting)"
SENT = {
    "upsert": "upsert",
    "insert": "insert",
    "update": "update",
    "delete": "delete",
    "mirror": "upsert",
    "append": "insert",
}


async def _plan(editor: Caller, yard: Yard, **body: int) -> Json:
    planned = await editor.post(f"/api/syncs/{yard.sync.id}/plan", body)
    assert planned.status == 200, planned.raw
    return planned.attributes


async def _everything(yard: Yard) -> list[str]:
    tables = ["runs", "run_shards", "snapshot_pages", "dead_letters", "outbox"]
    return [
        await yard.chassis.database.fetchval(f"SELECT string_agg(t::text, '|' ORDER BY t::text) FROM {table} AS t")
        for table in tables
    ]


class TestPlan:
    async def test_first_run_would_add_everything(self, editor: Caller, yard: Yard, sink: Sink) -> None:
        await yard.add_people(1, 25)

        plan = await _plan(editor, yard, samples=2)

        assert (plan["complete"], plan["read"], plan["changes"]["added"]) == (True, 25, 25)
        assert (plan["sends"], plan["requests"]) == ({"upsert": 25}, 3)
        assert [(row["change"], row["operation"], row["fields"]["id"]) for row in plan["samples"]] == [
            ("added", "upsert", 1),
            ("added", "upsert", 10),
        ]
        assert sink.requests == 0

    async def test_plan_is_what_the_run_then_does(self, editor: Caller, yard: Yard, sink: Sink) -> None:
        sink.is_bad = lambda row: row["id"] == 3
        await yard.add_people(1, 8)
        await yard.run()
        await yard.warehouse.execute("DELETE FROM people WHERE id = 1")
        await yard.warehouse.execute("UPDATE people SET email = 'new' WHERE id = 2")
        await yard.warehouse.execute("INSERT INTO people VALUES (NULL, 'nobody'), (4, 'twice')")
        await yard.add_people(9, 10)

        plan = await _plan(editor, yard)
        run = await yard.run()

        done = {name: count for name, count in run.books.reasons.items() if not name.startswith("change.")}
        assert plan["reasons"] == done
        assert plan["changes"] == {"added": 3, "changed": 1, "removed": 1, "unchanged": 5, "invalid": 2}
        assert (plan["sends"], run.books.delivered) == ({"upsert": 3}, 3)
        assert plan["read"] == run.books.read

    async def test_nothing_is_written_and_nothing_is_sent(self, editor: Caller, yard: Yard, sink: Sink) -> None:
        await yard.add_people(1, 5)
        await yard.run()
        await yard.add_people(6, 9)
        before, requests = await _everything(yard), sink.requests

        await _plan(editor, yard, fullRefresh=True)

        assert (await _everything(yard), sink.requests) == (before, requests)

    async def test_full_run_would_send_what_has_not_changed(self, editor: Caller, yard: Yard) -> None:
        await yard.add_people(1, 5)
        await yard.run()

        incremental, full = await _plan(editor, yard), await _plan(editor, yard, fullRefresh=True)

        assert (incremental["sends"], full["sends"]) == ({}, {"upsert": 5})
        assert incremental["changes"] == full["changes"]

    async def test_plan_stops_at_its_limit_and_takes_nothing_for_removed(self, editor: Caller, yard: Yard) -> None:
        await yard.add_people(1, 3000)
        await yard.run()

        plan = await _plan(editor, yard, maxRows=10)

        assert (plan["complete"], plan["stopped_by"]) == (False, "rows")
        assert plan["changes"]["removed"] == 0
        assert 10 <= plan["read"] < 3000

    async def test_mirror_tells_what_it_would_delete_and_whether_the_guard_stops_it(
        self, editor: Caller, yard: Yard
    ) -> None:
        await yard.change_sync(sync_mode=SyncMode.MIRROR)
        await yard.add_people(1, 40)
        await yard.run()
        await yard.warehouse.execute("DELETE FROM people WHERE id <= 30")

        plan = await _plan(editor, yard, samples=1)

        assert (plan["sends"], plan["changes"]["removed"]) == ({"delete": 30}, 30)
        assert plan["deletes"] == {"rows": 30, "allowed": 10, "stopped_by_guard": True}
        assert [(row["change"], row["operation"], row["fields"]) for row in plan["samples"]] == [
            ("removed", "delete", {"id": 1})
        ]

    async def test_cursor_reads_what_is_new_and_tells_of_nothing_gone(self, editor: Caller, yard: Yard) -> None:
        await yard.change_sync(reading={"type": "cursor", "column": "id", "look_back_s": 2})
        await yard.add_people(1, 20)
        await yard.run()
        await yard.add_people(21, 24)

        plan = await _plan(editor, yard)

        assert (plan["changes"]["added"], plan["changes"]["removed"], plan["sends"]) == (4, 0, {"upsert": 4})
        assert plan["read"] < 24

    async def test_sync_that_points_elsewhere_would_send_all_anew(self, editor: Caller, yard: Yard) -> None:
        await yard.add_people(1, 5)
        await yard.run()
        await yard.change_sync(object_name="others")

        assert (await _plan(editor, yard))["sends"] == {"upsert": 5}

    async def test_rows_of_a_run_that_broke_off_are_known(self, editor: Caller, yard: Yard, sink: Sink) -> None:
        await yard.chassis.database.execute("UPDATE connections SET max_in_flight = 1")
        await yard.add_people(1, 40)

        def gives_up_at_9(row: dict[str, Any]) -> bool:
            sink.status = 401 if row["id"] == 9 else 200
            return False

        sink.is_bad = gives_up_at_9
        run = await yard.run()

        plan = await _plan(editor, yard)

        assert (run.status, plan["changes"]["unchanged"]) == ("failed", run.books.delivered)
        assert plan["changes"]["added"] == 40 - run.books.delivered > 0

    async def test_query_that_fails_is_told_as_the_run_would(self, editor: Caller, yard: Yard) -> None:
        await yard.change_sync(source_query="SELECT id, email FROM nobody")

        refused = await editor.post(f"/api/syncs/{yard.sync.id}/plan")

        assert (refused.status, refused.json["code"]) == (422, "SOURCE_QUERY")

    async def test_dry_run_says_what_the_destination_would_and_leaves_nothing(
        self, editor: Caller, yard: Yard, empty_database_url: str
    ) -> None:
        await yard.warehouse.execute("CREATE TABLE copies (id int PRIMARY KEY, email text CHECK (email <> 'bad'))")
        await yard.warehouse.execute("INSERT INTO people VALUES (1, 'good'), (2, 'bad')")
        draft = ConnectionDraft("copies", {"url": "***"}, {"/url": empty_database_url})
        connections = Connections(yard.chassis.database, yard.chassis.box)
        made = await connections.create(yard.sync.workspace_id, ConnectionKind.DESTINATION, "postgres", draft)
        await yard.change_sync(destination_id=made.id, object_name="public.copies")

        plan = await _plan(editor, yard, dryRun=True)

        assert [(row["fields"]["id"], row["verdict"], row["code"]) for row in plan["samples"]] == [
            (1, "delivered", None),
            (2, "rejected", "CHECK_VIOLATION"),
        ]
        assert await yard.warehouse.fetchval("SELECT count(*) FROM copies") == 0

    async def test_dry_run_needs_a_destination_that_can(self, editor: Caller, yard: Yard, sink: Sink) -> None:
        await yard.add_people(1, 2)

        refused = await editor.post(f"/api/syncs/{yard.sync.id}/plan", {"dryRun": True})

        assert (refused.status, sink.requests) == (422, 0)
        assert b"/dryRun" in refused.raw

    @pytest.mark.parametrize("body", [{"maxRows": 0}, {"maxRows": 1_000_001}, {"samples": 21}, {"samples": -1}])
    async def test_limits_are_limited(self, editor: Caller, yard: Yard, body: Json) -> None:
        assert (await editor.post(f"/api/syncs/{yard.sync.id}/plan", body)).status == 422


class TestTestRow:
    async def test_row_is_sent_and_its_outcome_told(self, editor: Caller, yard: Yard, sink: Sink) -> None:
        await yard.add_people(1, 3)

        tested = await _test(editor, yard, "2")

        assert tested.attributes.items() >= {"real_write": True, "operation": "upsert", "verdict": "delivered"}.items()
        assert tested.attributes["fields"] == {"id": 2, "email": "p2@example.com"}
        assert sink.rows == [{"id": 2, "email": "p2@example.com"}]
        assert await yard.chassis.database.fetchval(RECORDED) == 1

    async def test_refusal_of_the_destination_is_told(self, editor: Caller, yard: Yard, sink: Sink) -> None:
        sink.is_bad = lambda _: True
        await yard.add_people(1, 3)

        tested = (await _test(editor, yard, "2")).attributes

        assert (tested["verdict"], tested["code"], tested["real_write"]) == ("rejected", "INVALID_EMAIL", True)
        assert "SELECT" not in tested["message"]

    async def test_row_that_no_run_would_send_is_not_sent(self, editor: Caller, yard: Yard, sink: Sink) -> None:
        await yard.add_people(1, 3)
        await yard.change_sync(source_query="SELECT id, 'NaN'::float8 AS email FROM people")

        tested = (await _test(editor, yard, "2")).attributes

        assert (tested["verdict"], tested["code"], tested["real_write"]) == ("rejected", "NOT_REPRESENTABLE", False)
        assert sink.requests == 0

    async def test_next_run_sends_the_row_all_the_same(self, editor: Caller, yard: Yard, sink: Sink) -> None:
        await yard.add_people(1, 3)
        await _test(editor, yard, "2")

        run = await yard.run(RunKind.INCREMENTAL)

        assert (run.books.delivered, sink.times_by_id[2]) == (3, 2)

    @pytest.mark.parametrize("mode", SENT)
    async def test_row_is_sent_as_the_mode_does(self, editor: Caller, yard: Yard, mode: str) -> None:
        await yard.change_sync(sync_mode=mode)
        await yard.add_people(1, 1)

        tested = await _test(editor, yard, "1", mayDouble=True)

        assert tested.attributes["operation"] == SENT[mode]

    @pytest.mark.parametrize(
        ("mode", "body", "pointer"),
        [
            ("upsert", {"key": "1"}, "/confirmWrite"),
            ("upsert", {"key": "1", "confirmWrite": False}, "/confirmWrite"),
            ("insert", {"key": "1", "confirmWrite": True}, "/mayDouble"),
            ("append", {"key": "1", "confirmWrite": True}, "/mayDouble"),
            ("upsert", {"confirmWrite": True}, "/key"),
        ],
    )
    async def test_nothing_is_sent_without_consent(
        self, editor: Caller, yard: Yard, sink: Sink, *, mode: str, body: Json, pointer: str
    ) -> None:
        await yard.change_sync(sync_mode=mode)
        await yard.add_people(1, 1)

        refused = await editor.post(f"/api/syncs/{yard.sync.id}/test-row", body)

        assert (refused.status, refused.json["errors"][0]["pointer"]) == (422, pointer)
        assert sink.requests == 0

    async def test_row_that_is_not_there_is_404(self, editor: Caller, yard: Yard, sink: Sink) -> None:
        refused = await _test(editor, yard, "7")

        assert (refused.status, refused.json["code"], sink.requests) == (404, "ROW_NOT_FOUND", 0)

    async def test_no_row_is_sent_while_a_run_may_send_it(self, editor: Caller, yard: Yard, sink: Sink) -> None:
        await yard.add_people(1, 1)
        run_id = await yard.start()

        refused = await _test(editor, yard, "1")

        assert (refused.status, refused.json["existing_id"], sink.requests) == (409, run_id, 0)

    async def test_destination_that_takes_no_more_is_left_alone(self, editor: Caller, yard: Yard, sink: Sink) -> None:
        await yard.add_people(1, 1)
        await yard.chassis.database.execute(
            "INSERT INTO rate_limits (scope, tat, blocked_until)"
            " SELECT id, clock_timestamp(), clock_timestamp() + interval '60 s' FROM connections"
        )

        refused = await _test(editor, yard, "1")

        assert (refused.status, refused.json["code"], sink.requests) == (429, "TOO_MANY", 0)

    async def test_row_that_was_sent_and_not_recorded_may_have_been_written(
        self, editor: Caller, yard: Yard, sink: Sink, database_url: str
    ) -> None:
        await yard.add_people(1, 1)
        sink.may_answer.clear()
        async with _gateway_behind_proxy(editor, yard, database_url) as (proxy, caller), asyncio.TaskGroup() as tasks:
            testing = tasks.create_task(_test(caller, yard, "1"))
            await asyncio.wait_for(sink.was_asked.wait(), 30)
            proxy.each = 1
            sink.may_answer.set()
            refused = await testing

        assert (refused.status, refused.json["code"], sink.times_by_id) == (424, "IN_DOUBT", {1: 1})

    async def test_repeat_by_key_does_not_send_twice(self, editor: Caller, yard: Yard, sink: Sink) -> None:
        await yard.add_people(1, 1)
        body = {"key": "1", "confirmWrite": True}

        answers = [
            await editor.post(f"/api/syncs/{yard.sync.id}/test-row", body, headers={"Idempotency-Key": "k"})
            for _ in range(2)
        ]

        assert (answers[0].json, sink.requests) == (answers[1].json, 1)


async def _test(editor: Caller, yard: Yard, key: str, **more: bool) -> Answered:
    return await editor.post(f"/api/syncs/{yard.sync.id}/test-row", {"key": key, "confirmWrite": True} | more)


@asynccontextmanager
async def _gateway_behind_proxy(editor: Caller, yard: Yard, url: str) -> AsyncIterator[tuple[Proxy, Caller]]:
    """Another gateway, whose way to the store can break."""
    async with (
        open_proxy(url) as (proxy, proxied),
        Database.open(proxied, application_name="test") as database,
        AiohttpClient.open(allow_private=True) as http,
        TestServer(make_app(open_stores(replace(yard.chassis, database=database), http), ROUTES)) as server,
    ):
        yield proxy, replace(editor, url=str(server.make_url("")).rstrip("/"))
