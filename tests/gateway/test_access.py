"""Who may do what, and what is seen of what belongs to others: proved for every route of the table."""

import re
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from tailrace.core.ids import TokenId, WorkspaceId
from tailrace.store.tokens import Role
from tailrace_gateway.calls import Audience, Route
from tailrace_gateway.routes import ROUTES
from tests.gateway.caller import Answered, Caller, Json, a_sync
from tests.gateway.conftest import PLATFORM_TOKEN, Gateway
from tests.gateway.engine import Engine

_PARAMETER = re.compile(r"{\w+}")
_NOBODYS = "trc_00000000_" + "0" * 49


async def _call(caller: Caller, route: Route, prefix: str | None = None) -> Answered:
    path = (route.prefixes[0] if prefix is None else prefix) + _PARAMETER.sub("retl_sync_x", route.path)
    return await caller.call(route.method, path, {} if route.method in {"POST", "PUT"} else None)


def _name(route: Route) -> str:
    return f"{route.method} {route.path}"


@pytest.mark.parametrize("role", list(Role))
async def test_role_opens_exactly_the_routes_that_it_covers(
    gateway: Gateway, workspace_id: WorkspaceId, role: Role
) -> None:
    caller = await gateway.caller(workspace_id, role)

    statuses = {_name(route): (await _call(caller, route)).status for route in ROUTES}

    forbidden = {name for name, status in statuses.items() if status == 403}
    closed = {_name(route) for route in ROUTES if route.audience is Audience.PLATFORM}
    assert forbidden == closed | {_name(route) for route in ROUTES if not role.covers(route.role)}
    assert {status for status in statuses.values() if status == 401 or status >= 500} == set()


async def test_platforms_token_opens_no_workspace(gateway: Gateway) -> None:
    platform = Caller(gateway.session, gateway.url, PLATFORM_TOKEN)

    statuses = {_name(route): (await _call(platform, route)).status for route in ROUTES}

    refused = {name for name, status in statuses.items() if status == 401}
    assert refused == {_name(route) for route in ROUTES if route.audience is Audience.WORKSPACE}
    assert {status for status in statuses.values() if status == 403 or status >= 500} == set()


@pytest.mark.parametrize("token", ["", "nonsense", _NOBODYS], ids=["none", "nonsense", "well-formed"])
async def test_no_route_opens_without_a_token(gateway: Gateway, token: str) -> None:
    nobody = Caller(gateway.session, gateway.url, token)

    answers = [await _call(nobody, route) for route in ROUTES]

    assert {answered.status for answered in answers} == {401}
    assert {answered.headers["WWW-Authenticate"] for answered in answers} == {'Bearer realm="tailrace"'}


async def test_every_prefix_leads_to_the_same_route(admin: Caller) -> None:
    answers = {
        _name(route): {(await _call(admin, route, prefix)).status for prefix in route.prefixes} for route in ROUTES
    }

    assert {name: statuses for name, statuses in answers.items() if len(statuses) > 1} == {}
    assert {405, 500} & set().union(*answers.values()) == set()


def test_roles_are_those_of_the_published_table() -> None:
    needed = {_name(route): route.role for route in ROUTES if "retl-connections" in route.path}

    assert needed == {
        "POST /retl-connections": Role.EDITOR,
        "GET /retl-connections": Role.VIEWER,
        "GET /retl-connections/{connection_id}": Role.VIEWER,
        "PUT /retl-connections/{connection_id}": Role.EDITOR,
        "DELETE /retl-connections/{connection_id}": Role.EDITOR,
        "PUT /retl-connections/{connection_id}/external-id": Role.EDITOR,
        "POST /retl-connections/{connection_id}/start": Role.EDITOR,
        "GET /retl-connections/{connection_id}/syncs": Role.VIEWER,
        "GET /retl-connections/{connection_id}/syncs/{run_id}": Role.VIEWER,
        "POST /retl-connections/{connection_id}/stop": Role.EDITOR,
    }


def test_viewers_only_read_and_only_admins_touch_connections() -> None:
    changing = {_name(route): route.role for route in ROUTES if route.method != "GET"}
    of_connections = {name: role for name, role in changing.items() if re.search("/api/(sources|destinations)", name)}

    assert Role.VIEWER not in changing.values()
    assert {name for name, role in of_connections.items() if role is not Role.ADMIN} == {
        "POST /api/sources/{connection_id}/test",
        "POST /api/destinations/{connection_id}/test",
    }


class TestToken:
    @pytest.mark.parametrize("header", ["authorization", "AUTHORIZATION", "Authorization"])
    @pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
    async def test_header_and_scheme_are_read_in_any_case(
        self, gateway: Gateway, admin: Caller, header: str, scheme: str
    ) -> None:
        nobody = Caller(gateway.session, gateway.url)

        answered = await nobody.call("GET", "/api/sources", headers={header: f"{scheme} {admin.token}"})

        assert answered.status == 200

    @pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "Basic {token}", "{token}", "Bearer {token} x"])
    async def test_other_forms_of_the_header_are_401(self, gateway: Gateway, admin: Caller, value: str) -> None:
        nobody = Caller(gateway.session, gateway.url)

        answered = await nobody.call("GET", "/api/sources", headers={"Authorization": value.format(token=admin.token)})

        assert answered.status == 401

    async def test_revoked_token_is_401_at_once(
        self, gateway: Gateway, admin: Caller, workspace_id: WorkspaceId
    ) -> None:
        await gateway.stores.tokens.revoke(workspace_id, TokenId(admin.token[4:12]))

        assert (await admin.get("/api/sources")).status == 401

    async def test_expired_token_is_401(self, gateway: Gateway, admin: Caller) -> None:
        await gateway.stores.database.execute("UPDATE tokens SET expires_at = clock_timestamp()")

        assert (await admin.get("/api/sources")).status == 401

    async def test_token_is_in_no_refusal(self, gateway: Gateway, admin: Caller) -> None:
        altered = admin.token[:-1] + ("0" if admin.token[-1] != "0" else "1")

        refused = await Caller(gateway.session, gateway.url, altered).get("/api/sources")

        assert refused.status == 401
        assert altered[13:40].encode() not in refused.raw


@dataclass(frozen=True, slots=True)
class Belongings:
    """One thing of each kind that another workspace has."""

    source_id: str
    destination_id: str
    sync_id: str
    run_id: str
    letter_id: str


@pytest_asyncio.fixture
async def theirs(admin: Caller, engine: Engine, source_id: str, destination_id: str, sync_id: str) -> Belongings:
    run_id = str((await admin.post("/api/reverse-etl/sync/run", {"syncId": sync_id})).json["data"]["id"])
    return Belongings(source_id, destination_id, sync_id, run_id, await engine.bury(run_id, "k"))


_UNKNOWN = Belongings("conn_u", "conn_u", "retl_sync_u", "retl_run_u", "retl_dlq_u")
_RETL = "/api/reverse-etl"


@pytest.mark.parametrize(
    ("asked", "body"),
    [
        ("GET /api/sources/{0.source_id}", None),
        ("PUT /api/sources/{0.source_id}", {"name": "mine"}),
        ("DELETE /api/sources/{0.source_id}", None),
        ("POST /api/sources/{0.source_id}/test", None),
        ("GET /api/destinations/{0.destination_id}", None),
        ("PUT /api/destinations/{0.destination_id}", {"name": "mine"}),
        ("DELETE /api/destinations/{0.destination_id}", None),
        ("POST /api/destinations/{0.destination_id}/test", None),
        ("GET /api/reverse-etl/objects?destination_id={0.destination_id}", None),
        ("GET /api/reverse-etl/fields?object_name=o&destination_id={0.destination_id}", None),
        ("GET /api/reverse-etl/syncs?destination_id={0.destination_id}", None),
        ("GET /api/reverse-etl/syncs/{0.sync_id}", None),
        ("PUT /api/reverse-etl/syncs/{0.sync_id}", {"name": "mine"}),
        ("DELETE /api/reverse-etl/syncs/{0.sync_id}", None),
        ("POST /api/reverse-etl/syncs", a_sync("{0.destination_id}", sourceId="{0.source_id}")),
        ("POST /api/reverse-etl/sync/toggle", {"syncId": "{0.sync_id}", "enabled": False}),
        ("POST /api/reverse-etl/sync/run", {"syncId": "{0.sync_id}"}),
        ("POST /api/reverse-etl/sync/run", {"syncIds": ["{0.sync_id}"]}),
        ("GET /api/reverse-etl/runs?sync_id={0.sync_id}", None),
        ("GET /api/reverse-etl/dlq?sync_id={0.sync_id}", None),
        ("GET /api/reverse-etl/dlq/stats?sync_id={0.sync_id}", None),
        ("POST /api/reverse-etl/dlq/resolve", {"entryIds": ["{0.letter_id}"], "resolution": "skipped"}),
        ("POST /api/reverse-etl/dlq/resolve", {"entryIds": ["{0.letter_id}"], "resolution": "x", "replay": True}),
        ("GET /api/runs/{0.run_id}", None),
        ("POST /api/runs/{0.run_id}/cancel", None),
        ("POST /v2/retl-connections/{0.sync_id}/start", None),
        ("POST /v2/retl-connections/{0.sync_id}/stop", None),
        ("GET /v2/retl-connections/{0.sync_id}/syncs", None),
        ("GET /v2/retl-connections/{0.sync_id}/syncs/{0.run_id}", None),
    ],
    ids=str,
)
async def test_foreign_id_is_answered_like_an_unknown_one(
    gateway: Gateway, stranger: Caller, theirs: Belongings, asked: str, body: Json
) -> None:
    method, path = asked.split()
    before = await _everything(gateway)

    foreign = await stranger.call(method, path.format(theirs), _filled(body, theirs))
    unknown = await stranger.call(method, path.format(_UNKNOWN), _filled(body, _UNKNOWN))

    assert (foreign.status, unknown.status) == (404, 404)
    assert _without_ids(foreign.json) == _without_ids(unknown.json)
    assert await _everything(gateway) == before


@pytest.mark.parametrize("path", ["/api/sources", "/api/destinations", f"{_RETL}/destinations", f"{_RETL}/syncs"])
async def test_lists_show_nothing_of_others(stranger: Caller, theirs: Belongings, path: str) -> None:
    assert (await stranger.get(path)).json["data"] == []


@pytest.mark.parametrize("path", [f"{_RETL}/runs", f"{_RETL}/dlq"])
async def test_history_shows_nothing_of_others(stranger: Caller, theirs: Belongings, path: str) -> None:
    assert (await stranger.get(path)).json["data"] == []


async def test_stats_count_nothing_of_others(stranger: Caller, theirs: Belongings) -> None:
    assert (await stranger.get(f"{_RETL}/dlq/stats")).attributes["open_count"] == 0


@pytest.mark.parametrize("odd", ["%00", "a%00b", "..%2F..", "x" * 65, "%C3%A9", "'%20OR%201=1", "a%2Fb"])
@pytest.mark.parametrize("path", ["/api/runs/{}", "/api/reverse-etl/syncs/{}", "/v2/retl-connections/{}/syncs"])
async def test_path_that_could_be_no_id_is_404(admin: Caller, path: str, odd: str) -> None:
    assert (await admin.get(path.format(odd))).status == 404


async def _everything(gateway: Gateway) -> list[str]:
    """All that a stranger could have changed."""
    tables = ["connections", "syncs", "runs", "dead_letters", "outbox", "idempotency_keys"]
    return [
        await gateway.stores.database.fetchval(f"SELECT string_agg(t::text, '|' ORDER BY t::text) FROM {table} AS t")
        for table in tables
    ]


def _filled(body: Json, ids: Belongings) -> Json:
    match body:
        case dict():
            return {name: _filled(value, ids) for name, value in body.items()}
        case list():
            return [_filled(value, ids) for value in body]
        case str() if body.startswith("{0."):
            return body.format(ids)
        case _:
            return body


def _without_ids(problem: dict[str, Any]) -> dict[str, Any]:
    """The ids that the caller gave are the only difference allowed."""
    return {name: re.sub(r"(conn|retl_\w{3,4})_\w+", "ID", str(value)) for name, value in problem.items()}
