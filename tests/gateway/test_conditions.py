"""ETag and If-Match: nobody overwrites what he has not seen."""

import asyncio
from collections.abc import Mapping

import pytest

from tailrace_gateway.conditions import only_if
from tailrace_gateway.problems import Malformed
from tests.gateway.caller import A_DESTINATION, A_SOURCE, Answered, Caller, Json, a_sync

# What can be changed: where it is made, a body that makes it, a change of it.
THINGS: Mapping[str, tuple[str, Json, Json]] = {
    "source": ("/api/sources", A_SOURCE, {"name": "other"}),
    "destination": ("/api/destinations", A_DESTINATION, {"requestsPerSecond": 3}),
    "sync": ("/api/reverse-etl/syncs", a_sync("{destination}"), {"name": "other"}),
}
ALL = pytest.mark.parametrize("kind", THINGS)


async def _made(admin: Caller, destination_id: str, kind: str) -> tuple[str, Answered]:
    path, body, _ = THINGS[kind]
    body = body | {"destinationId": destination_id} if kind == "sync" else body
    made = await admin.post(path, body)
    return f"{path}/{made.json['data']['id']}", made


@ALL
async def test_state_has_one_tag_until_it_changes(
    admin: Caller, source_id: str, destination_id: str, kind: str
) -> None:
    path, made = await _made(admin, destination_id, kind)

    got = await admin.get(path)
    put = await admin.put(path, THINGS[kind][2])
    then = await admin.get(path)

    tags = [answered.headers["ETag"] for answered in (made, got, put, then)]
    assert (tags[0], tags[2]) == (tags[1], tags[3])
    assert tags[0] != tags[2]


@ALL
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_change_of_a_state_that_is_no_more_is_412(
    admin: Caller, source_id: str, destination_id: str, kind: str, method: str
) -> None:
    path, made = await _made(admin, destination_id, kind)
    seen = {"If-Match": made.headers["ETag"]}
    body = THINGS[kind][2] if method == "PUT" else None
    colleague = await admin.put(path, {"name": "of a colleague"})

    refused = await admin.call(method, path, body, headers=seen)
    left = await admin.get(path)
    fresh = await admin.call(method, path, body, headers={"If-Match": left.headers["ETag"]})

    assert (refused.status, refused.json["code"]) == (412, "STALE")
    assert "get it again" in refused.json["detail"]
    assert (left.attributes["name"], left.headers["ETag"]) == ("of a colleague", colleague.headers["ETag"])
    assert fresh.status == 200


@ALL
@pytest.mark.parametrize("headers", [{}, {"If-Match": "*"}, {"If-Match": '"nothing", {tag}'}], ids=str)
async def test_change_without_condition_or_with_one_that_holds_passes(
    admin: Caller, source_id: str, destination_id: str, kind: str, headers: dict[str, str]
) -> None:
    path, made = await _made(admin, destination_id, kind)
    filled = {name: value.format(tag=made.headers["ETag"]) for name, value in headers.items()}

    assert (await admin.call("PUT", path, THINGS[kind][2], headers=filled)).status == 200


async def test_no_change_without_condition_is_refused_however_many_come_at_once(admin: Caller, sync_id: str) -> None:
    path = f"/api/reverse-etl/syncs/{sync_id}"

    answers = await asyncio.gather(*(admin.put(path, {"name": f"name {number}"}) for number in range(12)))

    assert {answered.status for answered in answers} == {200}


async def test_concurrent_changes_of_different_parts_are_both_there(admin: Caller, sync_id: str) -> None:
    path = f"/api/reverse-etl/syncs/{sync_id}"
    changes = [{"objectName": "Contact"}, {"sourceQuery": "SELECT 1 AS account_id, 2 AS name"}, {"syncMode": "update"}]

    answers = await asyncio.gather(*(admin.put(path, change) for change in changes))

    whole = (await admin.get(path)).attributes
    assert [answered.status for answered in answers] == [200] * 3
    assert (whole["object_name"], whole["source_query"], whole["sync_mode"]) == (
        "Contact",
        "SELECT 1 AS account_id, 2 AS name",
        "update",
    )


@pytest.mark.parametrize(
    ("values", "revisions"),
    [([], None), (["*"], None), (['"a"', '"b"'], {"a", "b"}), (['W/"a", "b"'], {"b"}), (['""'], {""})],
)
def test_tags_are_read(values: list[str], revisions: set[str] | None) -> None:
    assert only_if(values) == revisions


@pytest.mark.parametrize("value", ["", "a", '"a', '"a" "b"', '"a",', '*, "a"', '"ä"'])
async def test_condition_that_cannot_be_read_is_400(admin: Caller, sync_id: str, value: str) -> None:
    with pytest.raises(Malformed):
        only_if([value])

    refused = await admin.call("DELETE", f"/api/reverse-etl/syncs/{sync_id}", headers={"If-Match": value})

    assert (refused.status, refused.json["errors"][0]["parameter"]) == (400, "If-Match")
    assert (await admin.get(f"/api/reverse-etl/syncs/{sync_id}")).status == 200
