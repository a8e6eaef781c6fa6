"""The audit chain over the API: every operation that changes something writes one record, and nobody writes two."""

from collections.abc import Sequence

import pytest

from tailrace.core.ids import WorkspaceId
from tailrace.store.audit import AuditRecord
from tailrace.store.tokens import Role
from tailrace_gateway.routes import ROUTES
from tests.gateway.caller import A_DESTINATION, A_SOURCE, Caller
from tests.gateway.conftest import Gateway
from tests.gateway.deeds import DEEDS, TRIED_ELSEWHERE, set_scene

CANARIES = (b"s3cret-canary", b"t0ken-canary")


async def _records(gateway: Gateway, workspace_id: WorkspaceId) -> Sequence[AuditRecord]:
    return await gateway.stores.audit.list(workspace_id, limit=1000)


def test_every_operation_that_changes_something_is_tried() -> None:
    assert {route.operation_id for route in ROUTES if route.method != "GET"} == DEEDS.keys() | TRIED_ELSEWHERE


@pytest.mark.parametrize("operation_id", DEEDS)
async def test_change_writes_one_record(
    gateway: Gateway, admin: Caller, workspace_id: WorkspaceId, operation_id: str
) -> None:
    scene = await set_scene(gateway, admin)
    before = await _records(gateway, workspace_id)

    status = await DEEDS[operation_id].do(admin, scene)

    written = (await _records(gateway, workspace_id))[: -len(before)]
    assert status < 300
    assert [record.deed.action for record in written] == [operation_id]
    assert written[0].deed.actor == f"token:{admin.token[4:12]}"
    assert written[0].deed.address == "127.0.0.1"


@pytest.mark.parametrize("operation_id", [name for name, deed in DEEDS.items() if deed.method == "POST"])
async def test_repeat_by_its_key_writes_none(
    gateway: Gateway, admin: Caller, workspace_id: WorkspaceId, operation_id: str
) -> None:
    scene = await set_scene(gateway, admin)
    await DEEDS[operation_id].do(admin, scene, Idempotency_Key="k")
    before = await _records(gateway, workspace_id)

    status = await DEEDS[operation_id].do(admin, scene, Idempotency_Key="k")

    assert status < 300
    assert await _records(gateway, workspace_id) == before


@pytest.mark.parametrize("operation_id", DEEDS)
async def test_call_that_is_refused_writes_none(gateway: Gateway, admin: Caller, operation_id: str) -> None:
    scene = await set_scene(gateway, admin)
    elsewhere = await gateway.workspace()
    viewer = await gateway.caller(elsewhere, Role.VIEWER)

    status = await DEEDS[operation_id].do(viewer, scene)

    assert status == 403
    assert await _records(gateway, elsewhere) == []


async def test_repeated_start_without_a_key_writes_one(
    gateway: Gateway, admin: Caller, workspace_id: WorkspaceId, sync_id: str
) -> None:
    for _ in range(3):
        await admin.post(f"/v2/retl-connections/{sync_id}/start")

    actions = [record.deed.action for record in await _records(gateway, workspace_id)]
    assert actions.count("startConnectionSync") == 1


async def test_record_tells_what_was_before_and_after(
    gateway: Gateway, admin: Caller, workspace_id: WorkspaceId, source_id: str
) -> None:
    await admin.put(f"/api/sources/{source_id}", {"name": "renamed"})

    [newest, *_] = (await admin.get("/api/audit")).json["data"]

    attributes = newest["attributes"]
    assert (attributes["object_id"], attributes["action"]) == (source_id, "updateSource")
    assert (attributes["before"]["name"], attributes["after"]["name"]) == (A_SOURCE["name"], "renamed")


async def test_no_record_holds_a_secret(gateway: Gateway, admin: Caller) -> None:
    made = await admin.post("/api/tokens", {"name": "ci", "role": "viewer"})
    source_id = await admin.made("/api/sources", A_SOURCE)
    await admin.made("/api/destinations", A_DESTINATION)
    await admin.put(f"/api/sources/{source_id}", {"settings": A_SOURCE["settings"]})

    listed = await admin.get("/api/audit")

    secrets = [*CANARIES, made.attributes["token"].encode(), made.attributes["token"][13:].encode()]
    assert [secret for secret in secrets if secret in listed.raw] == []


async def test_chain_is_walked_page_by_page(gateway: Gateway, admin: Caller) -> None:
    for name in "abcde":
        await admin.post("/api/tokens", {"name": name, "role": "viewer"})

    first = await admin.get("/api/audit?limit=2")
    await admin.post("/api/tokens", {"name": "meanwhile", "role": "viewer"})
    second = await admin.get(f"/api/audit?limit=50&cursor={first.json['meta']['page']['cursor']}")

    assert [each["id"] for each in (*first.json["data"], *second.json["data"])] == ["5", "4", "3", "2", "1"]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR])
async def test_only_admins_see_it(gateway: Gateway, workspace_id: WorkspaceId, role: Role) -> None:
    caller = await gateway.caller(workspace_id, role)

    assert (await caller.get("/api/audit")).status == 403


async def test_others_do_not_see_it(admin: Caller, stranger: Caller, source_id: str) -> None:
    assert (await stranger.get("/api/audit")).json["data"] == []
