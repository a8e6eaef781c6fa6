"""Every operation that only looks, with the ids that it takes."""

import re
from collections.abc import Iterator

from tailrace_gateway.calls import Route
from tailrace_gateway.routes import ROUTES
from tests.gateway.caller import Answered, Caller
from tests.gateway.deeds import Scene

_NAMES = re.compile(r"{(\w+)}")
# What an id in a path or a query names; where it depends on the path, the path stands before it.
_MEANINGS = {
    "/api/destinations connection_id": "destination",
    "/api/sources connection_id": "source",
    "/v2/retl-connections connection_id": "connection",
    "/v2/retl-connections source_id": "model",
    "/v2/retl-sources source_id": "model",
    "account_id": "source",
    "connection_id": "sync",
    "destination_id": "destination",
    "job_id": "run",
    "preview_id": "run",  # previews are seen by nobody else either, and need a warehouse
    "run_id": "run",
    "sync_id": "sync",
    "version": "version",
    "workspace_id": "workspace",
}
_NEEDED = {"listObjectFields": "object_name=o", "findRow": "key=k", "diffSyncVersions": "against=1"}


def looks() -> Iterator[tuple[Route, str | None]]:
    """Every operation that only looks, by each id that it takes: in its path, where that is None, or in its query."""
    for route in ROUTES:
        if route.method == "GET" and _NAMES.search(route.path):
            yield route, None
        for name in route.query.model_fields:
            if route.method == "GET" and _is_id(name):
                yield route, name


async def look(caller: Caller, route: Route, field: str | None, scene: Scene) -> Answered:
    """Ask the operation for things of the scene, by the field of its query that is given."""
    ids = scene.ids | {"version": "1"}
    path = _NAMES.sub(lambda found: ids[_meaning(route, found[1])], route.prefixes[0] + route.path)
    asked = [] if field is None else [f"{field}={ids[_meaning(route, field)]}"]
    query = "&".join([*asked, *([_NEEDED[route.operation_id]] if route.operation_id in _NEEDED else [])])
    return await caller.get(f"{path}?{query}" if query else path)


def _meaning(route: Route, name: str) -> str:
    for prefix in ("/v2" + route.path, route.path):
        known = [each for each in _MEANINGS if " " in each and prefix.startswith(each.partition(" ")[0])]
        found = [_MEANINGS[each] for each in known if each.partition(" ")[2] == name]
        if found:
            return found[0]
    return _MEANINGS[name]


def _is_id(name: str) -> bool:
    return name.endswith(("_id", "_ids")) and name != "has_external_id"
