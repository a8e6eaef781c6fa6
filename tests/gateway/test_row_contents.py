"""Rows hold what their owners hold dear: a viewer sees their keys, and nothing else of them."""

import pytest

from tailrace.core.ids import WorkspaceId
from tailrace.core.settlements import payload_binding
from tailrace.store.previews import Preview
from tailrace.store.tokens import Role
from tailrace_gateway.routes import ROUTES
from tests.gateway.caller import Caller
from tests.gateway.conftest import Gateway
from tests.gateway.deeds import Scene, set_scene
from tests.gateway.looks import look, looks

_CONTENT = "c0ntent-of-a-row"
_LETTER = "SELECT sync_id, dedupe_key FROM dead_letters WHERE id = $1"
_FILL = "UPDATE dead_letters SET payload = $2 WHERE id = $1"
# What shows or sends rows; each says with what it is asked.
_SHOWING = {
    "planRun": ("POST", "/api/syncs/{sync}/plan", {}),
    "testRow": ("POST", "/api/syncs/{sync}/test-row", {"key": "1", "confirmWrite": True}),
    "startPreview": ("POST", "/v2/retl-sources/preview", {"accountId": "{source}", "sql": "SELECT 1 AS id"}),
    "getPreview": ("GET", "/v2/retl-sources/preview/{preview}", None),
}


async def _scene_with_rows(gateway: Gateway, admin: Caller, workspace_id: WorkspaceId) -> Scene:
    scene, stores = await set_scene(gateway, admin), gateway.stores
    letter = await stores.database.fetchrow(_LETTER, scene.ids["letter"])
    assert letter is not None
    binding = payload_binding(letter["sync_id"], letter["dedupe_key"])
    sealed = stores.box.seal(f'{{"email": "{_CONTENT}"}}'.encode(), bound_to=binding)
    await stores.database.execute(_FILL, scene.ids["letter"], sealed)
    return Scene(scene.ids | {"preview": await stores.previews.keep(workspace_id, Preview([{"email": _CONTENT}]))})


async def test_no_look_shows_a_viewer_the_content_of_a_row(
    gateway: Gateway, admin: Caller, workspace_id: WorkspaceId
) -> None:
    scene = await _scene_with_rows(gateway, admin, workspace_id)
    viewer = await gateway.caller(workspace_id, Role.VIEWER)
    asked = [(route, field) for route, field in looks() if route.operation_id not in {"followRun", "getPreview"}]
    lists = [route for route in ROUTES if route.method == "GET" and "{" not in route.path and not route.is_stream]

    answers = [await look(viewer, route, field, scene) for route, field in asked]
    answers += [await viewer.get(route.prefixes[0] + route.path) for route in lists]

    assert [answered.raw for answered in answers if _CONTENT.encode() in answered.raw] == []
    assert sum(answered.status == 200 for answered in answers) >= 20


@pytest.mark.parametrize("operation_id", _SHOWING)
async def test_what_shows_rows_is_for_editors(
    gateway: Gateway, admin: Caller, workspace_id: WorkspaceId, operation_id: str
) -> None:
    scene = await _scene_with_rows(gateway, admin, workspace_id)
    viewer = await gateway.caller(workspace_id, Role.VIEWER)
    method, path, body = _SHOWING[operation_id]

    refused = await viewer.call(method, path.format(**scene.ids), body)

    [route] = [route for route in ROUTES if route.operation_id == operation_id]
    assert (refused.status, route.role) == (403, Role.EDITOR)


async def test_editor_sees_the_rows_of_a_preview(gateway: Gateway, admin: Caller, workspace_id: WorkspaceId) -> None:
    scene = await _scene_with_rows(gateway, admin, workspace_id)
    editor = await gateway.caller(workspace_id, Role.EDITOR)

    shown = await editor.get(f"/v2/retl-sources/preview/{scene.ids['preview']}")

    assert shown.json["rows"] == [{"email": _CONTENT}]
