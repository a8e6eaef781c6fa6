"""A sync as its owner sees it: defined, started and watched over the API."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.gateway.caller import Caller, Json
from tests.walks.flights import EVERYTHING, mappings
from tests.walks.sink import OBJECT, Sink

_log = logging.getLogger(__name__)
_LOOK_S = 0.1
_ENDS_WITHIN_S = 120.0
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that has ended, as both contracts and the books tell of it."""

    id: str
    status: str
    error_code: str | None
    error: str | None
    books: dict[str, Any]

    @property
    def accounts(self) -> dict[str, int]:
        """The counters of the books that are not nought, which must balance."""
        assert self.books["balanced"]
        return {name: count for name, count in self.books.items() if type(count) is int and count}


@dataclass(frozen=True, slots=True)
class SyncOwner:
    """A sync with its source and destination."""

    caller: Caller
    id: str
    source_id: str
    destination_id: str

    async def start_as_connection(self) -> str:
        """Start a run by the RudderStack contract; gives its id."""
        answered = await self.caller.post(f"/v2/retl-connections/{self.id}/start")
        assert answered.status == 200, answered.raw
        return str(answered.json["syncId"])

    async def start(self, *, full_refresh: bool = False) -> str:
        """Start a run by the Planasonix contract; gives its id."""
        body = {"syncId": self.id, "fullRefresh": full_refresh}
        answered = await self.caller.post("/api/reverse-etl/sync/run", body)
        assert answered.status == 200, answered.raw
        return str(answered.json["data"]["id"])

    async def look(self, run_id: str) -> Json:
        """The run as it stands, by the RudderStack contract."""
        answered = await self.caller.get(f"/v2/retl-connections/{self.id}/syncs/{run_id}")
        assert answered.status == 200, answered.raw
        return answered.json

    async def ended(self, run_id: str) -> Ended:
        """The run once it has ended, watched as clients of the RudderStack contract do."""
        begun = asyncio.get_running_loop().time()
        async with asyncio.timeout(_ENDS_WITHIN_S):
            while (await self.look(run_id))["status"] == "running":  # noqa: ASYNC110 - clients can only poll
                await asyncio.sleep(_LOOK_S)
        took_s = asyncio.get_running_loop().time() - begun
        run = (await self.caller.get(f"/api/runs/{run_id}")).attributes
        _log.info("%s: %d rows in %.1f s", run["kind"], run["books"]["read"], took_s)
        return Ended(run_id, run["status"], run["error_code"], run["error"], run["books"])

    async def runs(self) -> list[Json]:
        """All its runs by the Planasonix contract, newest first."""
        return await self._pages("/api/reverse-etl/runs")

    async def run_ids(self, count: int) -> list[str]:
        """The ids of its runs, newest first, once there are so many."""
        async with asyncio.timeout(_ENDS_WITHIN_S):
            while len(runs := await self.runs()) < count:  # noqa: ASYNC110 - clients can only poll
                await asyncio.sleep(_LOOK_S)
        return [run["id"] for run in runs]

    async def letters(self, *, resolved: bool = False) -> list[Json]:
        """All its dead letters, newest first."""
        return await self._pages("/api/reverse-etl/dlq", f"&resolved={str(resolved).lower()}")

    async def letter_stats(self) -> Json:
        """How many dead letters it has."""
        return (await self.caller.get(f"/api/reverse-etl/dlq/stats?sync_id={self.id}")).attributes

    async def replay(self, letter_ids: Sequence[str]) -> str:
        """Have dead letters tried again; gives the id of the run that does it."""
        return str((await self._resolve(letter_ids, "fixed_upstream", replay=True))["replay_run_id"])

    async def resolve(self, letter_ids: Sequence[str], resolution: str) -> None:
        """Be done with dead letters."""
        await self._resolve(letter_ids, resolution, replay=False)

    async def change(self, **changes: Json) -> None:
        """Change the definition."""
        answered = await self.caller.put(f"/api/reverse-etl/syncs/{self.id}", changes)
        assert answered.status == 200, answered.raw

    async def _resolve(self, letter_ids: Sequence[str], resolution: str, *, replay: bool) -> Json:
        body = {"entryIds": list(letter_ids), "resolution": resolution, "replay": replay}
        answered = await self.caller.post("/api/reverse-etl/dlq/resolve", body)
        assert answered.status == 200, answered.raw
        return answered.attributes

    async def _pages(self, path: str, more: str = "") -> list[Json]:
        items: list[Json] = []
        cursor = ""
        while True:
            answered = await self.caller.get(f"{path}?sync_id={self.id}&limit={_PAGE}{more}{cursor}")
            assert answered.status == 200, answered.raw
            items += answered.json["data"]
            following = answered.json["meta"]["page"]["cursor"]
            if following is None:
                return items
            cursor = f"&cursor={following}"


async def a_flight_sync(
    caller: Caller, warehouse_url: str, sink: Sink, *, key: Sequence[str], query: str = EVERYTHING
) -> SyncOwner:
    """A sync from the warehouse to the sink that runs when asked."""
    source = {"name": "flights", "connector": "postgres", "settings": {"url": warehouse_url, "allow_superuser": True}}
    destination = {"name": "sink", "connector": "http", "settings": sink.settings}
    source_id = await caller.made("/api/sources", source)
    destination_id = await caller.made("/api/destinations", destination)
    body = {
        "name": "flights",
        "sourceId": source_id,
        "sourceQuery": query,
        "destinationId": destination_id,
        "objectName": OBJECT,
        "fieldMappings": mappings(key),
        "syncMode": "upsert",
    }
    return SyncOwner(caller, await caller.made("/api/reverse-etl/syncs", body), source_id, destination_id)
