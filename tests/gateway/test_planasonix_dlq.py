"""The Planasonix contract: dead letters."""

import re
from typing import Any

import pytest
import pytest_asyncio

from tests.gateway.caller import Caller
from tests.gateway.conftest import Gateway
from tests.gateway.engine import Engine

DLQ = "/api/reverse-etl/dlq"
RUN = "/api/reverse-etl/sync/run"
PREFIXES = pytest.mark.parametrize("prefix", ["", "/v1"], ids=["without prefix", "with /v1"])
_SECONDS = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")


@pytest_asyncio.fixture
async def run_id(admin: Caller, engine: Engine, sync_id: str) -> str:
    """A run that has ended."""
    run_id = str((await admin.post(RUN, {"syncId": sync_id})).json["data"]["id"])
    await engine.begin(run_id)
    await engine.end(run_id, "succeeded")
    return run_id


@pytest_asyncio.fixture
async def letter_ids(engine: Engine, run_id: str) -> list[str]:
    """Three open letters, oldest first."""
    return [
        await engine.bury(run_id, "acc_1"),
        await engine.bury(run_id, "acc_2", code="RATE_LIMIT"),
        await engine.bury(run_id, "acc_3"),
    ]


@PREFIXES
async def test_entry_shows_every_field_of_the_contract(
    admin: Caller, engine: Engine, sync_id: str, run_id: str, prefix: str
) -> None:
    letter_id = await engine.bury(run_id, "acc_88291")

    listed = await admin.get(prefix + DLQ)

    [entry] = listed.json["data"]
    assert listed.json["meta"] == {"page": {"limit": 50, "cursor": None}}
    assert (entry["id"], entry["type"]) == (letter_id, "reverse_etl_dlq_entry")
    assert (
        entry["attributes"]
        | {
            "sync_id": sync_id,
            "run_id": run_id,
            "error_code": "DESTINATION_VALIDATION",
            "message": "INVALID_EMAIL: bad format for field Email",
            "record_keys": {"External_Id__c": "acc_88291"},
            "attempts": 5,
            "resolved": False,
        }
        == entry["attributes"]
    )
    assert _SECONDS.fullmatch(entry["attributes"]["first_seen_at"])


async def test_cursor_walks_newest_first_to_the_end(admin: Caller, letter_ids: list[str]) -> None:
    first = await admin.get(f"{DLQ}?limit=2")
    second = await admin.get(f"{DLQ}?limit=2&cursor={first.json['meta']['page']['cursor']}")

    assert [entry["id"] for page in (first, second) for entry in page.json["data"]] == letter_ids[::-1]
    assert second.json["meta"]["page"]["cursor"] is None


async def test_filter_by_sync(admin: Caller, another_sync_id: str, sync_id: str, letter_ids: list[str]) -> None:
    of_this = await admin.get(f"{DLQ}?sync_id={sync_id}")
    of_other = await admin.get(f"{DLQ}?sync_id={another_sync_id}")

    assert (len(of_this.json["data"]), of_other.json["data"]) == (3, [])


@PREFIXES
async def test_stats_show_every_field_of_the_contract(
    admin: Caller, sync_id: str, letter_ids: list[str], prefix: str
) -> None:
    await admin.post(f"{DLQ}/resolve", {"entryIds": letter_ids[:1], "resolution": "skipped"})

    counted = await admin.get(f"{prefix}{DLQ}/stats?sync_id={sync_id}&since=2020-01-01T00:00:00Z")

    data = counted.json["data"]
    assert (data["type"], data.keys()) == ("reverse_etl_dlq_stats", {"type", "attributes"})
    assert _SECONDS.fullmatch(data["attributes"].pop("computed_at"))
    assert data["attributes"] == {
        "open_count": 2,
        "resolved_count": 1,
        "by_error_code": {"DESTINATION_VALIDATION": 1, "RATE_LIMIT": 1},
    }


async def test_stats_since_a_time_leave_out_older_letters(admin: Caller, letter_ids: list[str]) -> None:
    counted = await admin.get(f"{DLQ}/stats?since=2999-01-01T00:00:00Z")

    assert (counted.attributes["open_count"], counted.attributes["by_error_code"]) == (0, {})


class TestResolve:
    @PREFIXES
    async def test_answer_is_as_the_contract_shows(self, admin: Caller, letter_ids: list[str], prefix: str) -> None:
        body = {"entryIds": letter_ids[:2], "resolution": "fixed_upstream"}

        resolved = await admin.post(f"{prefix}{DLQ}/resolve", body)

        data = resolved.json["data"]
        assert (resolved.status, data["type"]) == (200, "reverse_etl_dlq_resolve")
        assert data["attributes"]["resolved_ids"] == letter_ids[:2]
        assert data["attributes"]["replay_run_id"] is None
        assert _SECONDS.fullmatch(data["attributes"]["resolved_at"])

    async def test_resolved_entries_move_to_the_history(self, admin: Caller, letter_ids: list[str]) -> None:
        await admin.post(f"{DLQ}/resolve", {"entryIds": letter_ids[:1], "resolution": "skipped"})

        still_open = await admin.get(DLQ)
        history = await admin.get(f"{DLQ}?resolved=true")

        assert [entry["id"] for entry in still_open.json["data"]] == [letter_ids[2], letter_ids[1]]
        assert [entry["id"] for entry in history.json["data"]] == [letter_ids[0]]
        assert history.json["data"][0]["attributes"]["resolved"] is True
        assert history.json["data"][0]["attributes"]["resolution"] == "skipped"

    async def test_replay_starts_a_run_and_leaves_letters_open_until_it_delivers(
        self, admin: Caller, letter_ids: list[str]
    ) -> None:
        body = {"entryIds": letter_ids[:2], "resolution": "fixed_upstream", "replay": True}

        replayed = await admin.post(f"{DLQ}/resolve", body)

        run = await admin.get(f"/api/runs/{replayed.attributes['replay_run_id']}")
        assert (run.attributes["kind"], run.attributes["status"]) == ("replay", "queued")
        still_open = await admin.get(DLQ)
        assert replayed.attributes["resolved_ids"] == replayed.attributes["replaying_ids"] == letter_ids[:2]
        assert _SECONDS.fullmatch(replayed.attributes["resolved_at"])
        assert {entry["id"] for entry in still_open.json["data"]} == set(letter_ids)

    async def test_replay_tells_executors(self, gateway: Gateway, admin: Caller, letter_ids: list[str]) -> None:
        replayed = await admin.post(
            f"{DLQ}/resolve", {"entryIds": letter_ids, "resolution": "fixed_upstream", "replay": True}
        )

        bodies = await gateway.stores.database.fetch(
            "SELECT convert_from(body, 'UTF8') AS body FROM outbox ORDER BY id"
        )
        assert replayed.attributes["replay_run_id"] in "".join(row["body"] for row in bodies)

    async def test_replay_beside_an_active_run_is_refused_with_its_id(
        self, admin: Caller, sync_id: str, letter_ids: list[str]
    ) -> None:
        active = await admin.post(RUN, {"syncId": sync_id})

        refused = await admin.post(
            f"{DLQ}/resolve", {"entryIds": letter_ids, "resolution": "fixed_upstream", "replay": True}
        )

        assert (refused.status, refused.json["existing_id"]) == (409, active.json["data"]["id"])

    async def test_repeat_by_key_is_one_replay(self, admin: Caller, letter_ids: list[str]) -> None:
        body = {"entryIds": letter_ids, "resolution": "fixed_upstream", "replay": True}
        first = await admin.post(f"{DLQ}/resolve", body, headers={"Idempotency-Key": "k"})

        again = await admin.post(f"{DLQ}/resolve", body, headers={"Idempotency-Key": "k"})

        assert (again.status, again.json) == (200, first.json)

    async def test_unknown_entry_resolves_none(self, admin: Caller, letter_ids: list[str]) -> None:
        refused = await admin.post(
            f"{DLQ}/resolve", {"entryIds": [letter_ids[0], "retl_dlq_unknown"], "resolution": "skipped"}
        )

        assert refused.status == 404
        assert len((await admin.get(DLQ)).json["data"]) == 3

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({"resolution": "skipped"}, "/entryIds"),
            ({"entryIds": [], "resolution": "skipped"}, "/entryIds"),
            ({"entryIds": ["a"] * 1001, "resolution": "skipped"}, "/entryIds"),
            ({"entryIds": ["a", "a"], "resolution": "skipped"}, "/entryIds"),
            ({"entryIds": ["a"]}, "/resolution"),
            ({"entryIds": ["a"], "resolution": "because I say so"}, "/resolution"),
            ({"entryIds": ["a"], "resolution": "skipped", "replay": 1}, "/replay"),
        ],
        ids=["no ids", "empty", "too many", "twice", "no reason", "a sentence", "replay is no boolean"],
    )
    async def test_bad_body_is_422_with_its_place(self, admin: Caller, body: dict[str, Any], pointer: str) -> None:
        refused = await admin.post(f"{DLQ}/resolve", body)

        assert (refused.status, refused.json["errors"][0]["pointer"]) == (422, pointer)
