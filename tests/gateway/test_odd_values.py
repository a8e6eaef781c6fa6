"""No value that a caller can send is a fault of ours: every field of every route meets every odd value."""

from collections import defaultdict
from itertools import product
from typing import Any
from urllib.parse import quote

from tailrace_gateway.calls import Route
from tailrace_gateway.examples import ASKED
from tailrace_gateway.routes import ROUTES
from tests.gateway.caller import A_DESTINATION, A_SOURCE, Answered, Caller, Json, a_sync

_DEEP: Json = [[[[[[[[]]]]]]]]
_ODD: tuple[Json, ...] = (
    *(None, True, 0, -1, 1.5, 2**63, 2**64, 10**19, -(2**63), 1e308),
    *("", " ", "a\x00b", "x" * 70_000, "é", "\u202e", "😀", "\ufffe", "0", "null", "'; --", "{}", "%00", "\\"),
    *([], [None], [[]], [{}], ["x", "x"], _DEEP, {}, {"": ""}, {"type": "cron"}, {"$ref": "#"}, {"__proto__": {}}),
)
_ODD_TEXTS = ("", "x", "-1", "0", "9" * 40, "1e3", "true", "NaN", "é", "\x00", "\n", "%", "2024-13-40", "x" * 5000)


def _whole_body(route: Route, ids: dict[str, str]) -> dict[str, Json]:
    """A body that the route takes: made for it, or the one that its description shows."""
    made: dict[str, dict[str, Json]] = {
        "CreateSource": A_SOURCE,
        "UpdateSource": A_SOURCE,
        "CreateDestination": A_DESTINATION | {"requestsPerSecond": 1, "maxInFlight": 1},
        "UpdateDestination": A_DESTINATION | {"requestsPerSecond": 1, "maxInFlight": 1},
        "CreateSync": a_sync(ids["destination_id"], sourceId=ids["source_id"], enabled=True),
        "UpdateSync": a_sync(ids["destination_id"], sourceId=ids["source_id"], enabled=True),
        "ToggleSync": {"syncId": ids["sync_id"], "enabled": True},
        "StartRuns": {"syncId": ids["sync_id"], "syncIds": [ids["sync_id"]], "fullRefresh": False},
        "ResolveLetters": {"entryIds": ["retl_dlq_x"], "resolution": "x", "replay": False},
        "StartSync": {"syncType": "full"},
        "CreateToken": {"name": "x", "role": "viewer", "expiresAt": "2030-01-01T00:00:00Z"},
    }
    return made.get(route.body.__name__) or dict(ASKED[route.operation_id])


async def test_no_field_of_a_body_breaks_us(admin: Caller, source_id: str, destination_id: str, sync_id: str) -> None:
    ids = {"source_id": source_id, "destination_id": destination_id, "sync_id": sync_id}
    taking = [route for route in ROUTES if route.body.model_fields]

    answers = [
        (route.path, field, value, await _send(admin, route, ids, {**_whole_body(route, ids), field: value}))
        for route in taking
        for field, value in product(_whole_body(route, ids), _ODD)
    ]

    broken = [(path, field, value) for path, field, value, answered in answers if answered.status >= 500]
    assert broken == []
    assert {route.path for route in taking} == {path for path, *_ in answers}


async def test_no_item_of_the_lists_within_breaks_us(admin: Caller, source_id: str, destination_id: str) -> None:
    key = {"source": "a", "destination": "a", "key": True}
    odd_items = [{**key, field: value} for field, value in product([*key, "value"], _ODD)]
    odd_schedules = [
        {"type": kind, field: value}
        for kind, field, value in product(
            ["cron", "interval", "manual"], ["expression", "timezone", "everyMinutes"], _ODD
        )
    ]
    bodies = [
        *(a_sync(destination_id, fieldMappings=[item]) for item in odd_items),
        *(a_sync(destination_id, schedule=schedule) for schedule in odd_schedules),
        *(A_DESTINATION | {"settings": {"url": value}} for value in _ODD),
        *(A_DESTINATION | {"settings": {"url": "http://127.0.0.1/", "headers": {"X": value}}} for value in _ODD),
    ]

    answers = [await admin.post(_path_for(body), body) for body in bodies]

    assert [answered.raw for answered in answers if answered.status >= 500] == []


async def test_no_parameter_of_a_query_breaks_us(admin: Caller, destination_id: str, sync_id: str) -> None:
    needed = {"destination_id": destination_id, "object_name": "x"}
    asking = [route for route in ROUTES if route.query.model_fields]

    answers = [
        (route.path, name, value, await admin.get(_asked(route, sync_id, needed, name, value)))
        for route in asking
        for name, value in product(route.query.model_fields, _ODD_TEXTS)
    ]

    assert [tuple(asked) for *asked, answered in answers if answered.status >= 500] == []


async def _send(admin: Caller, route: Route, ids: dict[str, str], body: dict[str, Any]) -> Answered:
    of_kind = {"/api/sources": ids["source_id"], "/api/destinations": ids["destination_id"]}
    connection_id = of_kind.get(route.path.partition("/{")[0], ids["sync_id"])
    return await admin.call(route.method, _path(route, {**ids, "connection_id": connection_id}), body)


def _path_for(body: dict[str, Json]) -> str:
    return "/api/destinations" if "settings" in body else "/api/reverse-etl/syncs"


def _asked(route: Route, sync_id: str, needed: dict[str, str], name: str, value: str) -> str:
    fits = {each: needed[each] for each in needed if each in route.query.model_fields}
    query = "&".join(f"{each}={quote(text, safe='')}" for each, text in {**fits, name: value}.items())
    return _path(route, {"connection_id": sync_id, "sync_id": sync_id}) + "?" + query


def _path(route: Route, ids: dict[str, str]) -> str:
    return route.path.format_map(defaultdict(lambda: "x", ids))
