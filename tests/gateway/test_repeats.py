"""Every POST is safe to repeat by its Idempotency-Key."""

from collections.abc import Mapping

import pytest

from tailrace.core.ids import WorkspaceId
from tailrace_gateway.routes import ROUTES
from tests.gateway.caller import (
    A_DESTINATION,
    A_SOURCE,
    Answered,
    Caller,
    Json,
    a_retl_connection,
    a_retl_source,
    a_sync,
)
from tests.gateway.conftest import Gateway
from tests.gateway.deeds import TRIED_ELSEWHERE
from tests.gateway.engine import Engine

KEY = {"Idempotency-Key": "once"}
_RETL = "/api/reverse-etl"

# Every POST of the API: where it goes, what it says and a body that says something else, where there is one.
POSTS: Mapping[str, tuple[str, Json, Json]] = {
    "createSync": (f"{_RETL}/syncs", a_sync("{destination}"), a_sync("{destination}", name="other")),
    "toggleSync": (
        f"{_RETL}/sync/toggle",
        {"syncId": "{sync}", "enabled": False},
        {"syncId": "{sync}", "enabled": True},
    ),
    "startRuns": (f"{_RETL}/sync/run", {"syncId": "{idle}"}, {"syncId": "{idle}", "fullRefresh": True}),
    "pauseSync": ("/api/syncs/{sync}/pause", None, None),
    "resumeSync": ("/api/syncs/{sync}/resume", None, None),
    "rollBackSync": ("/api/syncs/{sync}/versions/1/rollback", None, None),
    "cancelRun": ("/api/runs/{run}/cancel", None, None),
    "resolveDeadLetters": (
        f"{_RETL}/dlq/resolve",
        {"entryIds": ["{letter}"], "resolution": "skipped"},
        {"entryIds": ["{letter}"], "resolution": "fixed"},
    ),
    "startConnectionSync": ("/v2/retl-connections/{idle}/start", {}, {"syncType": "full"}),
    "startJob": ("/api/v1/connections/{idle}/sync", {}, {"sync_type": "full"}),
    "cancelJob": ("/api/v1/jobs/{run}/cancel", None, None),
    "createRetlSource": (
        "/v2/retl-sources",
        a_retl_source("{source}"),
        a_retl_source("{source}", name="other"),
    ),
    "startPreview": (
        "/v2/retl-sources/preview",
        {"accountId": "{source}", "sql": "SELECT 1 AS id"},
        {"accountId": "{source}", "sql": "SELECT 2 AS id"},
    ),
    "createRetlConnection": (
        "/v2/retl-connections",
        a_retl_connection("{model}", "{destination}"),
        a_retl_connection("{model}", "{destination}", object="Contact"),
    ),
    "stopConnectionSync": ("/v2/retl-connections/{sync}/stop", None, None),
    "createSource": ("/api/sources", A_SOURCE, A_SOURCE | {"name": "other"}),
    "testSource": ("/api/sources/{source}/test", None, None),
    "createDestination": ("/api/destinations", A_DESTINATION, A_DESTINATION | {"name": "other"}),
    "testDestination": ("/api/destinations/{destination}/test", None, None),
    "createToken": ("/api/tokens", {"name": "ci", "role": "viewer"}, {"name": "ci", "role": "editor"}),
}


@pytest.fixture
async def ids(admin: Caller, engine: Engine, source_id: str, destination_id: str, sync_id: str) -> dict[str, str]:
    idle = await admin.made(f"{_RETL}/syncs", a_sync(destination_id, name="idle"))
    run_id = str((await admin.post(f"{_RETL}/sync/run", {"syncId": sync_id})).json["data"]["id"])
    model = await admin.post("/v2/retl-sources", a_retl_source(source_id))
    things = {
        "model": model.json["id"],
        "source": source_id,
        "destination": destination_id,
        "sync": sync_id,
        "idle": idle,
    }
    return things | {"run": run_id, "letter": await engine.bury(run_id, "k")}


def test_table_has_every_post() -> None:
    assert POSTS.keys() | TRIED_ELSEWHERE == {route.operation_id for route in ROUTES if route.method == "POST"}


@pytest.mark.parametrize("operation", POSTS)
async def test_repeat_gets_the_same_answer_and_does_nothing_more(
    gateway: Gateway, admin: Caller, ids: dict[str, str], operation: str
) -> None:
    path, body, _ = _filled(POSTS[operation], ids)

    first = await admin.post(path, body, headers=KEY)
    made = await _everything(gateway)
    again = await admin.post(path, body, headers=KEY)

    assert first.status in {200, 201, 202, 204}
    assert (again.status, again.raw) == (first.status, first.raw)
    assert (_is_replayed(first), _is_replayed(again)) == (False, True)
    assert await _everything(gateway) == made


@pytest.mark.parametrize("operation", [name for name, (_, _, other) in POSTS.items() if other is not None])
async def test_key_of_another_request_is_422(admin: Caller, ids: dict[str, str], operation: str) -> None:
    path, body, other = _filled(POSTS[operation], ids)
    await admin.post(path, body, headers=KEY)

    refused = await admin.post(path, other, headers=KEY)

    assert (refused.status, refused.json["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")


@pytest.mark.parametrize("operation", [name for name, (_, _, other) in POSTS.items() if other is not None])
async def test_refusal_leaves_the_key_free(admin: Caller, ids: dict[str, str], operation: str) -> None:
    path, body, _ = _filled(POSTS[operation], ids)

    refused = await admin.post(path, {"nonsense": True}, headers=KEY)
    then = await admin.post(path, body, headers=KEY)

    assert refused.status in {400, 422}
    assert then.status in {200, 201, 202}


async def test_repeat_while_the_first_is_on_its_way_is_409(
    gateway: Gateway, admin: Caller, ids: dict[str, str]
) -> None:
    path = f"/api/sources/{ids['source']}/test"
    await admin.post(path, headers=KEY)
    await gateway.stores.database.execute("UPDATE idempotency_keys SET status = NULL, response = NULL")

    repeated = await admin.post(path, headers=KEY)

    assert (repeated.status, repeated.json["code"]) == (409, "IN_PROGRESS")


async def test_keys_of_two_callers_are_two_keys(gateway: Gateway, admin: Caller, workspace_id: WorkspaceId) -> None:
    colleague = await gateway.caller(workspace_id)

    answers = [await each.post("/api/sources", A_SOURCE, headers=KEY) for each in (admin, colleague)]

    assert [answered.status for answered in answers] == [201, 201]
    assert answers[0].json["data"]["id"] != answers[1].json["data"]["id"]


async def test_text_of_a_token_is_not_in_the_kept_answer(gateway: Gateway, admin: Caller) -> None:
    made = await admin.post("/api/tokens", {"name": "ci", "role": "viewer"}, headers=KEY)

    kept: str = await gateway.stores.database.fetchval("SELECT encode(response, 'escape') FROM idempotency_keys")

    assert made.attributes["token"] not in kept


def _is_replayed(answered: Answered) -> bool:
    return answered.headers.get("Idempotent-Replayed") == "true"


def _filled(part: Json, ids: dict[str, str]) -> Json:
    match part:
        case dict():
            return {name: _filled(value, ids) for name, value in part.items()}
        case list() | tuple():
            return [_filled(value, ids) for value in part]
        case str():
            return part.format(**ids)
        case _:
            return part


async def _everything(gateway: Gateway) -> list[str]:
    """All that a request could have changed; when a connection was checked tells of a second check."""
    tables = ["connections", "syncs", "sync_versions", "runs", "dead_letters", "outbox", "tokens"]
    return [
        await gateway.stores.database.fetchval(f"SELECT string_agg(t::text, '|' ORDER BY t::text) FROM {table} AS t")
        for table in tables
    ]
