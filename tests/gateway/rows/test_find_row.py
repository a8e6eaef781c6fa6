"""What happened to this row?"""

from urllib.parse import quote

import pytest

from tailrace.core.runs import RunKind
from tailrace.core.syncs import SyncMode
from tests.executor.sink import Row, Sink
from tests.executor.yard import Yard
from tests.gateway.caller import Caller, Json


async def _find(editor: Caller, yard: Yard, key: str) -> Json:
    return (await editor.get(f"/api/syncs/{yard.sync.id}/row?key={quote(key)}")).attributes


async def test_delivered_row_is_found_by_its_key(editor: Caller, yard: Yard) -> None:
    await yard.add_people(1, 3)
    run = await yard.run()

    found = await _find(editor, yard, "2")

    assert (found["key"], found["state"], found["letters"]) == ({"id": "2"}, "delivered", [])
    assert len(found["delivered"]["version"]) == 16
    assert (found["last_run"]["id"], found["last_run"]["status"], found["last_run"]["passed"]) == (
        run.id,
        "succeeded",
        True,
    )


async def test_refused_row_tells_why(editor: Caller, yard: Yard, sink: Sink) -> None:
    sink.is_bad = lambda row: row["id"] == 2
    await yard.add_people(1, 3)
    run = await yard.run()

    found = await _find(editor, yard, "2")

    [letter] = found["letters"]
    assert (found["state"], found["delivered"]) == ("rejected", None)
    assert (letter["error_code"], letter["message"], letter["run_id"], letter["state"], letter["duplicate"]) == (
        "INVALID_EMAIL",
        "bad format for field email",
        run.id,
        "open",
        False,
    )


async def test_row_whose_newer_version_was_refused_is_outdated(editor: Caller, yard: Yard, sink: Sink) -> None:
    await yard.add_people(1, 3)
    await yard.run()
    before = await _find(editor, yard, "2")
    sink.is_bad = lambda row: row["id"] == 2
    await yard.warehouse.execute("UPDATE people SET email = 'new' WHERE id = 2")
    await yard.run()

    found = await _find(editor, yard, "2")

    assert (found["state"], found["delivered"]["version"]) == ("outdated", before["delivered"]["version"])
    assert found["letters"][0]["version"] != before["delivered"]["version"]


async def test_row_that_was_delivered_at_last_tells_when_at_the_latest(editor: Caller, yard: Yard, sink: Sink) -> None:
    sink.is_bad = lambda row: row["id"] == 2
    await yard.add_people(1, 3)
    await yard.run()
    sink.is_bad = lambda _: False
    await yard.run(RunKind.FULL)

    found = await _find(editor, yard, "2")

    [letter] = found["letters"]
    assert (found["state"], letter["state"], letter["resolution"]) == ("delivered", "resolved", "superseded")
    assert found["delivered"]["last_known_delivery_at"] == letter["resolved_at"]


@pytest.mark.parametrize(
    ("resolution", "expected"), [("skipped", ("held_back", 0)), ("fixed_upstream", ("released", 1))]
)
async def test_word_that_a_letter_is_resolved_by_decides_whether_its_row_is_sent_again(
    editor: Caller, yard: Yard, sink: Sink, resolution: str, expected: tuple[str, int]
) -> None:
    sink.is_bad = lambda row: row["id"] == 2
    await yard.add_people(1, 3)
    await yard.run()
    letter_id = (await _find(editor, yard, "2"))["letters"][0]["id"]
    await editor.post("/api/reverse-etl/dlq/resolve", {"entryIds": [letter_id], "resolution": resolution})

    found = await _find(editor, yard, "2")

    run = await yard.run()
    assert found["letters"][0]["resolution"] == resolution
    assert (found["state"], run.books.rejected) == expected


async def test_second_row_of_a_key_does_not_hide_that_the_first_was_delivered(editor: Caller, yard: Yard) -> None:
    await yard.add_people(1, 2)
    await yard.add_people(2, 2)
    await yard.run()

    found = await _find(editor, yard, "2")

    assert (found["state"], [letter["duplicate"] for letter in found["letters"]]) == ("delivered", [True])


class TestNothingKnown:
    async def test_before_any_run(self, editor: Caller, yard: Yard) -> None:
        found = await _find(editor, yard, "2")

        assert (found["state"], found["delivered"], found["letters"], found["last_run"]) == ("unknown", None, [], None)
        assert "The sync has never run." in found["notes"]

    async def test_after_a_run_that_read_everything(self, editor: Caller, yard: Yard) -> None:
        await yard.add_people(1, 1)
        await yard.run()

        found = await _find(editor, yard, "2")

        assert (found["state"], found["last_run"]["passed"]) == ("unknown", True)
        assert any("not in the result of the query" in note for note in found["notes"])

    async def test_while_a_run_waits(self, editor: Caller, yard: Yard) -> None:
        await yard.add_people(1, 3)
        await yard.start()

        found = await _find(editor, yard, "2")

        assert (found["state"], found["last_run"]["passed"], found["last_run"]["status"]) == (
            "unknown",
            False,
            "queued",
        )
        assert any("has not come to this key yet" in note for note in found["notes"])


async def test_row_is_found_while_its_run_is_not_merged(editor: Caller, yard: Yard, sink: Sink) -> None:
    await yard.chassis.database.execute("UPDATE connections SET max_in_flight = 1")
    await yard.add_people(1, 40)

    def gives_up_at_9(row: Row) -> bool:
        sink.status = 401 if row["id"] == 9 else 200
        return False

    sink.is_bad = gives_up_at_9
    run = await yard.run()

    found = await _find(editor, yard, "1")
    behind = await _find(editor, yard, "9")

    assert run.status == "failed"
    assert (found["state"], found["delivered"]["by_run"], found["last_run"]["passed"]) == ("delivered", run.id, True)
    assert (behind["state"], behind["last_run"]["passed"]) == ("unknown", False)
    assert any("ended before it came to this key" in note for note in behind["notes"])


class TestWhatIsNotKept:
    """Where rows are not compared with all that was delivered, the answer says so instead of guessing."""

    async def test_row_read_by_a_cursor_is_known_within_the_look_back(self, editor: Caller, yard: Yard) -> None:
        await yard.change_sync(reading={"type": "cursor", "column": "id", "look_back_s": 2})
        await yard.add_people(1, 20)
        await yard.run()

        recent, other = await _find(editor, yard, "20"), await _find(editor, yard, "99")

        assert (recent["state"], other["state"], other["last_run"]["passed"]) == ("delivered", "unknown", None)
        assert any("may well have been delivered" in note for note in other["notes"])
        assert not any("not in the result" in note for note in other["notes"])

    async def test_refusals_of_an_append_are_found_by_key(self, editor: Caller, yard: Yard, sink: Sink) -> None:
        await yard.change_sync(sync_mode=SyncMode.APPEND)
        sink.is_bad = lambda row: row["id"] == 2
        await yard.add_people(1, 3)
        await yard.run()

        refused, other = await _find(editor, yard, "2"), await _find(editor, yard, "1")

        assert (refused["state"], refused["letters"][0]["error_code"]) == ("rejected", "INVALID_EMAIL")
        assert other["state"] == "unknown"
        assert any("not kept row by row" in note for note in other["notes"])

    async def test_rows_without_a_key_cannot_be_found(self, editor: Caller, yard: Yard) -> None:
        mappings = [{"source": name, "destination": name} for name in ("id", "email")]
        await yard.change_sync(sync_mode=SyncMode.APPEND, field_mappings=mappings)

        refused = await editor.get(f"/api/syncs/{yard.sync.id}/row?key=2")

        assert (refused.status, refused.json["errors"][0]["parameter"]) == (422, "key")


class TestKey:
    async def test_key_of_several_columns_is_an_array(self, editor: Caller, yard: Yard) -> None:
        mappings = [{"source": name, "destination": name, "key": True} for name in ("id", "email")]
        await yard.change_sync(field_mappings=mappings)
        await yard.add_people(1, 2)
        await yard.run()

        found = await _find(editor, yard, '["2", "p2@example.com"]')

        assert (found["key"], found["state"]) == ({"id": "2", "email": "p2@example.com"}, "delivered")

    @pytest.mark.parametrize("key", ["2", "[", '["2"]', '["2", 3]', '{"id": "2"}', '["1", "2", "3"]'])
    async def test_other_forms_are_refused_with_the_columns(self, editor: Caller, yard: Yard, key: str) -> None:
        mappings = [{"source": name, "destination": name, "key": True} for name in ("id", "email")]
        await yard.change_sync(field_mappings=mappings)

        refused = await editor.get(f"/api/syncs/{yard.sync.id}/row?key={quote(key)}")

        assert (refused.status, refused.json["errors"][0]["parameter"]) == (422, "key")
        assert "id, email" in refused.json["detail"]

    async def test_text_of_a_single_column_is_taken_as_it_is(self, editor: Caller, yard: Yard) -> None:
        assert (await _find(editor, yard, '["2"]'))["key"] == {"id": '["2"]'}


class TestRejectedRows:
    async def test_they_are_found_by_key_and_code(self, editor: Caller, yard: Yard, sink: Sink) -> None:
        sink.is_bad = lambda row: row["id"] in {2, 3}
        await yard.add_people(1, 4)
        await yard.add_people(4, 4)
        run = await yard.run()
        path = f"/api/runs/{run.id}/rejected"

        everything, by_key, by_code, by_both = [
            (await editor.get(path + query)).json
            for query in ("", "?key=2", "?code=DUPLICATE_KEY", "?key=2&code=DUPLICATE_KEY")
        ]

        assert (len(everything["data"]), everything["meta"]["rejected"]) == (3, 3)
        assert [row["attributes"]["record_keys"] for row in by_key["data"]] == [{"id": 2}]
        assert [row["attributes"]["error_code"] for row in by_code["data"]] == ["DUPLICATE_KEY"]
        assert by_both["data"] == []

    async def test_they_come_page_by_page(self, editor: Caller, yard: Yard, sink: Sink) -> None:
        sink.is_bad = lambda _: True
        await yard.add_people(1, 3)
        run = await yard.run()
        path = f"/api/runs/{run.id}/rejected?limit=2"

        first = (await editor.get(path)).json
        second = (await editor.get(f"{path}&cursor={first['meta']['page']['cursor']}")).json

        assert len({row["id"] for row in (*first["data"], *second["data"])}) == 3
        assert second["meta"]["page"]["cursor"] is None

    async def test_row_that_a_later_run_refused_again_is_listed_there(
        self, editor: Caller, yard: Yard, sink: Sink
    ) -> None:
        sink.is_bad = lambda _: True
        await yard.add_people(1, 1)
        first = await yard.run()
        second = await yard.run(RunKind.FULL)

        listed = [(await editor.get(f"/api/runs/{run.id}/rejected")).json for run in (first, second)]

        assert [(len(each["data"]), each["meta"]["rejected"]) for each in listed] == [(0, 1), (1, 1)]
