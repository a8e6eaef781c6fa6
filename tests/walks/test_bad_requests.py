"""What people get wrong in a call: a problem document tells of it, and nothing is started or changed."""

from http import HTTPStatus

import pytest

from tests.gateway.caller import Caller, Json
from tests.walks.people import People

pytestmark = [pytest.mark.walk, pytest.mark.timeout(60)]

RUN = "/api/reverse-etl/sync/run"
KEY = {"source": "id", "destination": "Id", "key": True}
EMAIL = {"source": "email", "destination": "Email"}


@pytest.mark.parametrize("token", ["trc_wrong", ""], ids=["a wrong one", "none"])
async def test_call_without_a_token_that_opens_starts_nothing(people: People, token: str) -> None:
    sync = await people.sync()
    stranger = Caller(people.caller.session, people.caller.url, token)

    refused = await stranger.post(RUN, {"syncId": sync.id})

    assert_problem(refused.json, HTTPStatus.UNAUTHORIZED, "UNAUTHENTICATED", "Authorization: Bearer <token>")
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    assert await sync.runs() == []


@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        pytest.param(b'{"syncId": ', HTTPStatus.BAD_REQUEST, "NOT_JSON", "is not JSON", id="no JSON"),
        pytest.param(b"", HTTPStatus.BAD_REQUEST, "NOT_JSON", "the body is empty", id="nothing"),
        pytest.param({}, HTTPStatus.BAD_REQUEST, "SYNC_ID", "give either syncId or syncIds", id="no sync"),
        pytest.param({"syncId": 5}, HTTPStatus.UNPROCESSABLE_ENTITY, "VALIDATION", "/syncId", id="a number"),
        pytest.param({"sync": "x"}, HTTPStatus.UNPROCESSABLE_ENTITY, "VALIDATION", "known are: syncId", id="unknown"),
        pytest.param({"syncId": "x"}, HTTPStatus.NOT_FOUND, "SYNC_NOT_FOUND", "no such sync", id="of nobody"),
    ],
)
async def test_body_that_cannot_be_read_starts_nothing(
    people: People, body: Json, status: HTTPStatus, code: str, words: str
) -> None:
    sync = await people.sync()

    refused = await people.caller.post(RUN, body)

    assert_problem(refused.json, status, code, words)
    assert await sync.runs() == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"fieldMappings": [EMAIL]}, 'needs a key: set "key": true', id="no key"),
        pytest.param({"fieldMappings": [KEY, KEY]}, "mapped twice: Id", id="a field twice"),
        pytest.param({"syncMode": "merge"}, "/syncMode", id="an unknown mode"),
        pytest.param({"schedule": {"type": "cron", "expression": "61 * * * *"}}, "/schedule", id="no such minute"),
    ],
)
async def test_definition_that_cannot_work_changes_nothing(people: People, changes: Json, words: str) -> None:
    sync = await people.sync()
    path = f"/api/reverse-etl/syncs/{sync.id}"
    before = await people.caller.get(path)

    refused = await people.caller.put(path, changes)

    assert_problem(refused.json, HTTPStatus.UNPROCESSABLE_ENTITY, "VALIDATION", words)
    assert (await people.caller.get(path)).json == before.json


def assert_problem(problem: Json, status: HTTPStatus, code: str, words: str) -> None:
    assert (problem["status"], problem["code"]) == (status, code)
    assert words in problem["detail"]
    assert problem["error"] == problem["message"] == problem["detail"]
