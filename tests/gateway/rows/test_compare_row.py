"""Is what the source says of a row now what was delivered of it?"""

from dataclasses import replace
from typing import Any

import pytest

from tailrace.core.errors import SourceUnavailable
from tailrace.core.rows import RowKey
from tailrace.core.runs import RunKind
from tailrace.core.syncs import SyncMode
from tailrace.runtime.http import AiohttpClient
from tailrace.store.syncs import Syncs
from tailrace.store.tokens import NewToken, Role, Tokens
from tailrace_gateway.row_reading import look_at_source
from tailrace_gateway.stores import open_stores
from tests.executor.sink import Sink
from tests.executor.yard import Yard
from tests.gateway.caller import Caller, Json

REPLACE = "UPDATE people SET email = 'new' WHERE id = 2"


async def _compare(caller: Caller, yard: Yard, key: str = "2") -> Json:
    found = await caller.get(f"/api/syncs/{yard.sync.id}/row?key={key}&compare=true")
    assert found.status == 200, found.raw
    return found.attributes


def _told(found: Json) -> tuple[Any, ...]:
    return found["source"]["comparison"], found["source"]["sends"]


async def _is_quiet(yard: Yard) -> bool:
    return not await yard.warehouse.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
    )


async def test_row_that_has_not_changed_is_the_same(editor: Caller, yard: Yard, sink: Sink) -> None:
    await yard.add_people(1, 3)
    await yard.run()
    requests = sink.requests

    found = await _compare(editor, yard)

    assert (found["state"], *_told(found)) == ("delivered", "same", None)
    assert found["source"]["version"] == found["delivered"]["version"]
    assert found["source"]["fields"] == {"id": 2, "email": "p2@example.com"}
    assert sink.requests == requests


async def test_row_that_has_changed_differs_until_the_next_run_has_sent_it(editor: Caller, yard: Yard) -> None:
    await yard.add_people(1, 3)
    await yard.run()
    await yard.warehouse.execute(REPLACE)

    before = await _compare(editor, yard)
    await yard.run()
    after = await _compare(editor, yard)

    assert (_told(before), _told(after)) == (("different", "upsert"), ("same", None))
    assert before["source"]["version"] == after["delivered"]["version"]


async def test_refused_version_is_held_back_until_it_changes(editor: Caller, yard: Yard, sink: Sink) -> None:
    sink.is_bad = lambda row: row["id"] == 2
    await yard.add_people(1, 3)
    await yard.run()

    refused = await _compare(editor, yard)
    await yard.warehouse.execute(REPLACE)
    changed = await _compare(editor, yard)

    assert (_told(refused), _told(changed)) == (("held_back", None), ("undelivered", "upsert"))
    assert any("until it changes" in note for note in refused["notes"])


async def test_row_that_left_the_query_is_absent(editor: Caller, yard: Yard) -> None:
    await yard.change_sync(sync_mode=SyncMode.MIRROR)
    await yard.add_people(1, 3)
    await yard.run()
    await yard.warehouse.execute("DELETE FROM people WHERE id = 2")

    gone, never = await _compare(editor, yard, "2"), await _compare(editor, yard, "9")

    assert (_told(gone), _told(never)) == (("absent", "delete"), ("absent", None))
    assert (gone["source"]["version"], gone["source"]["fields"]) == (None, None)


async def test_row_is_undelivered_before_a_run_and_where_the_sync_writes_elsewhere_now(
    editor: Caller, yard: Yard
) -> None:
    await yard.add_people(1, 3)
    new = await _compare(editor, yard)
    await yard.run()
    await yard.change_sync(object_name="others")

    elsewhere = await _compare(editor, yard)

    assert (_told(new), _told(elsewhere)) == (("undelivered", "upsert"),) * 2


async def test_row_that_cannot_be_sent_tells_why(editor: Caller, yard: Yard) -> None:
    await yard.change_sync(source_query="SELECT id, 'NaN'::float8 AS email FROM people")
    await yard.add_people(2, 2)

    found = await _compare(editor, yard)

    assert (*_told(found), found["source"]["code"]) == ("refused", None, "NOT_REPRESENTABLE")
    assert "email" in found["source"]["message"]


async def test_sync_that_sends_everything_sends_it_again(editor: Caller, yard: Yard) -> None:
    await yard.add_people(1, 3)
    await yard.run()
    await yard.change_sync(resend=True)

    assert _told(await _compare(editor, yard)) == ("same", "upsert")


async def test_by_a_cursor_the_newest_row_of_a_key_is_compared_as_far_as_it_is_kept(editor: Caller, yard: Yard) -> None:
    await yard.warehouse.execute("ALTER TABLE people ADD COLUMN at int DEFAULT 100")
    reading = {"type": "cursor", "column": "at", "look_back_s": 5}
    await yard.change_sync(source_query="SELECT id, email, at FROM people", reading=reading)
    await yard.add_people(2, 2)
    await yard.run()
    await yard.warehouse.execute("INSERT INTO people VALUES (2, 'older', 50), (3, 'late', 10)")

    recent, other = await _compare(editor, yard, "2"), await _compare(editor, yard, "3")

    assert (_told(recent), recent["source"]["fields"]["email"]) == (("same", None), "p2@example.com")
    assert _told(other) == ("not_kept", None)
    assert any("above the watermark" in note for note in other["notes"])


async def test_rows_of_an_append_are_not_compared(editor: Caller, yard: Yard) -> None:
    await yard.change_sync(sync_mode=SyncMode.APPEND)
    await yard.add_people(1, 3)
    await yard.run()

    assert _told(await _compare(editor, yard)) == ("not_kept", "insert")


async def test_viewer_cannot_make_the_warehouse_work(editor: Caller, yard: Yard) -> None:
    await yard.change_sync(source_query="SELECT id, email FROM nowhere")
    _, text = await Tokens(yard.chassis.database, yard.chassis.box).create(
        NewToken(yard.sync.workspace_id, "looks", Role.VIEWER)
    )

    viewer = replace(editor, token=text)

    found = await viewer.get(f"/api/syncs/{yard.sync.id}/row?key=2")
    refused = await viewer.get(f"/api/syncs/{yard.sync.id}/row?key=2&compare=true")

    assert (found.status, found.attributes["source"]) == (200, None)
    assert (refused.status, refused.json["detail"]) == (
        403,
        "compare needs a token with the role editor; yours is viewer",
    )


async def test_source_that_refuses_says_so(editor: Caller, yard: Yard) -> None:
    await yard.change_sync(source_query="SELECT id, email FROM nowhere")

    asked = await editor.get(f"/api/syncs/{yard.sync.id}/row?key=2&compare=true")

    assert (asked.status, asked.json["code"]) == (422, "SOURCE_QUERY")


async def test_warehouse_that_takes_too_long_is_left(yard: Yard) -> None:
    await yard.change_sync(source_query="SELECT id, email || pg_sleep(60)::text AS email FROM people")
    await yard.add_people(2, 2)
    sync = await Syncs(yard.chassis.database).get(yard.sync.workspace_id, yard.sync.id)

    async with AiohttpClient.open(allow_private=True) as http:
        with pytest.raises(SourceUnavailable, match="did not find the row"):
            await look_at_source(open_stores(yard.chassis, http), sync, RowKey(("2",)), None, within_s=0.5)

    await yard.until(lambda: _is_quiet(yard))


@pytest.mark.parametrize("value", ["perhaps", ""])
async def test_other_words_are_refused(editor: Caller, yard: Yard, value: str) -> None:
    asked = await editor.get(f"/api/syncs/{yard.sync.id}/row?key=2&compare={value}")

    assert (asked.status, asked.json["errors"][0]["parameter"]) == (422, "compare")


class TestWhichRunDelivered:
    async def test_only_run_that_delivered_is_named(self, editor: Caller, yard: Yard) -> None:
        await yard.add_people(1, 3)
        first = await yard.run()
        await yard.run()

        found = await _compare(editor, yard)

        assert (found["delivered"]["by_run"], found["delivered"]["by_run_at_latest"]) == (first.id, first.id)

    async def test_where_several_may_have_the_last_of_them_is(self, editor: Caller, yard: Yard) -> None:
        await yard.add_people(1, 3)
        await yard.run()
        second = await yard.run(RunKind.FULL)

        found = await _compare(editor, yard)

        assert (found["delivered"]["by_run"], found["delivered"]["by_run_at_latest"]) == (None, second.id)


async def test_snapshot_tells_how_much_is_known(editor: Caller, yard: Yard) -> None:
    path = f"/api/syncs/{yard.sync.id}/snapshot"
    before = (await editor.get(path)).attributes
    await yard.add_people(1, 3)
    await yard.run()

    known = (await editor.get(path)).attributes

    assert (before["rows"], before["sync_version"], before["kept"]) == (0, None, True)
    assert (known["rows"], known["delivered"], known["sync_version"], known["kept"]) == (3, 3, 1, True)
    assert known["size_bytes"] > 0
