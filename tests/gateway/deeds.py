"""One call of every operation that changes something, so that whatever holds for all of them can be asked of each."""

from dataclasses import dataclass

from tests.gateway.caller import A_DESTINATION, A_SOURCE, Caller, Json, a_retl_connection, a_retl_source, a_sync
from tests.gateway.conftest import Gateway
from tests.gateway.engine import Engine

_RETL = "/api/reverse-etl"


@dataclass(frozen=True, slots=True)
class Scene:
    """Things of a workspace, made for one deed, by their names in paths and bodies."""

    ids: dict[str, str]

    def fill(self, part: Json) -> Json:
        """The same, with ids in the places of their names."""
        match part:
            case dict():
                return {name: self.fill(value) for name, value in part.items()}
            case list():
                return [self.fill(value) for value in part]
            case str():
                return part.format(**self.ids) if part.startswith("{") else part
            case _:
                return part


@dataclass(frozen=True, slots=True)
class Deed:
    """How an operation is called so that it does what it is for."""

    method: str
    path: str
    body: Json = None

    async def do(self, caller: Caller, scene: Scene, **headers: str) -> int:
        """Call it; gives the status."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        path = self.path.format(**scene.ids)
        return (await caller.call(self.method, path, scene.fill(self.body), headers=named)).status


TRIED_ELSEWHERE = {"planRun", "testRow", "suggestMappings", "ensureField", "confirmDeletes", "createWorkspace"}
"""They need a warehouse, a run that was stopped, or the platform's token."""

DEEDS: dict[str, Deed] = {
    "createSync": Deed("POST", f"{_RETL}/syncs", a_sync("{destination}", sourceId="{source}")),
    "updateSync": Deed("PUT", f"{_RETL}/syncs/{{sync}}", {"name": "renamed"}),
    "deleteSync": Deed("DELETE", f"{_RETL}/syncs/{{sync}}"),
    "toggleSync": Deed("POST", f"{_RETL}/sync/toggle", {"syncId": "{sync}", "enabled": False}),
    "startRuns": Deed("POST", f"{_RETL}/sync/run", {"syncIds": ["{idle_sync}", "{idler_sync}"]}),
    "pauseSync": Deed("POST", "/api/syncs/{sync}/pause"),
    "resumeSync": Deed("POST", "/api/syncs/{sync}/resume"),
    "rollBackSync": Deed("POST", "/api/syncs/{sync}/versions/1/rollback"),
    "cancelRun": Deed("POST", "/api/runs/{run}/cancel"),
    "resolveDeadLetters": Deed("POST", f"{_RETL}/dlq/resolve", {"entryIds": ["{letter}"], "resolution": "skipped"}),
    "startConnectionSync": Deed("POST", "/v2/retl-connections/{idle_sync}/start"),
    "stopConnectionSync": Deed("POST", "/v2/retl-connections/{sync}/stop"),
    "createRetlSource": Deed("POST", "/v2/retl-sources", a_retl_source("{source}")),
    "updateRetlSource": Deed("PUT", "/v2/retl-sources/{model}", {"name": "renamed"}),
    "deleteRetlSource": Deed("DELETE", "/v2/retl-sources/{idle_model}"),
    "setRetlSourceExternalId": Deed("PUT", "/v2/retl-sources/{model}/external-id", {"externalId": "x"}),
    "startPreview": Deed("POST", "/v2/retl-sources/preview", {"accountId": "{source}", "sql": "SELECT 1 AS id"}),
    "createRetlConnection": Deed("POST", "/v2/retl-connections", a_retl_connection("{model}", "{destination}")),
    "updateRetlConnection": Deed("PUT", "/v2/retl-connections/{connection}", {"schedule": {"type": "manual"}}),
    "deleteRetlConnection": Deed("DELETE", "/v2/retl-connections/{connection}"),
    "setRetlConnectionExternalId": Deed("PUT", "/v2/retl-connections/{connection}/external-id", {"externalId": "x"}),
    "startJob": Deed("POST", "/api/v1/connections/{idle_sync}/sync"),
    "cancelJob": Deed("POST", "/api/v1/jobs/{run}/cancel"),
    "testSource": Deed("POST", "/api/sources/{source}/test"),
    "createSource": Deed("POST", "/api/sources", A_SOURCE),
    "updateSource": Deed("PUT", "/api/sources/{source}", {"name": "renamed"}),
    "deleteSource": Deed("DELETE", "/api/sources/{idle_source}"),
    "testDestination": Deed("POST", "/api/destinations/{destination}/test"),
    "createDestination": Deed("POST", "/api/destinations", A_DESTINATION),
    "updateDestination": Deed("PUT", "/api/destinations/{destination}", {"name": "renamed"}),
    "deleteDestination": Deed("DELETE", "/api/destinations/{idle_destination}"),
    "renameWorkspace": Deed("PUT", "/api/workspaces/{workspace}", {"name": "renamed"}),
    "createToken": Deed("POST", "/api/tokens", {"name": "ci", "role": "viewer"}),
    "revokeToken": Deed("DELETE", "/api/tokens/{token}"),
}
"""By the id of the operation."""


async def set_scene(gateway: Gateway, admin: Caller, engine: Engine | None = None) -> Scene:
    """Things in the admin's workspace that every deed finds what it needs among."""
    ids = {name: await admin.made("/api/sources", A_SOURCE) for name in ("source", "idle_source")}
    ids |= {name: await admin.made("/api/destinations", A_DESTINATION) for name in ("destination", "idle_destination")}
    for name in ("sync", "idle_sync", "idler_sync"):
        ids[name] = await admin.made(f"{_RETL}/syncs", a_sync(ids["destination"], sourceId=ids["source"], name=name))
    for name in ("model", "idle_model"):
        ids[name] = str((await admin.post("/v2/retl-sources", a_retl_source(ids["source"]))).json["id"])
    connected = await admin.post("/v2/retl-connections", a_retl_connection(ids["model"], ids["destination"]))
    ids["connection"] = str(connected.json["id"])
    started = await admin.post(f"{_RETL}/sync/run", {"syncId": ids["sync"]})
    ids["run"] = str(started.json["data"]["id"])
    ids["letter"] = await (engine or Engine(gateway.stores.database)).bury(ids["run"], "k")
    ids["token"] = await admin.made("/api/tokens", {"name": "spare", "role": "viewer"})
    ids["workspace"] = str((await admin.get("/api/workspaces")).json["data"][0]["id"])
    return Scene(ids)
