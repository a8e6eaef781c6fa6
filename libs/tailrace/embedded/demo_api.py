"""The demo's side of the API: a client as anybody could write one, over real HTTP."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

import aiohttp

from tailrace.core.errors import TailraceError

_ANSWER_S = 20.0

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RunView:
    """A run as the API tells of it."""

    id: str
    status: str
    error: str | None
    books: Mapping[str, Any]

    @property
    def has_ended(self) -> bool:
        """Whether it will not change any more."""
        return self.status in {"succeeded", "failed", "cancelled"}


class DemoApi:
    """Speaks to a gateway with a token."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, token: str) -> AsyncIterator[Self]:
        """A client for as long as the scope lasts."""
        headers = {"Authorization": f"Bearer {token}"}
        timeout = aiohttp.ClientTimeout(total=_ANSWER_S)
        async with aiohttp.ClientSession(url, headers=headers, timeout=timeout) as session:
            yield cls(session)

    async def create_source(self, dsn: str) -> str:
        """A source for the warehouse; gives its id."""
        body = {"name": "Demo warehouse", "connector": "postgres", "settings": {"url": dsn}}
        return await self._made("/api/sources", body)

    async def create_destination(self, url: str, token: str, object_name: str) -> str:
        """A destination for the CRM; gives its id."""
        settings = {
            "url": f"{url}/{{object}}/batch",
            "bearer_token": token,
            "objects": [object_name],
            "requires_results": True,
        }
        return await self._made("/api/destinations", {"name": "Demo CRM", "connector": "http", "settings": settings})

    async def check(self, kind: str, connection_id: str) -> None:
        """Test a source or destination.

        :raises TailraceError: it does not work; with what the API says about it.
        """
        answer = await self._ask("POST", f"/api/{kind}/{connection_id}/test")
        attributes = answer["data"]["attributes"]
        if attributes["status"] != "connected":
            raise TailraceError(f"the test of {connection_id} failed: {attributes['message']}")

    async def create_sync(self, sync: Mapping[str, Any]) -> str:
        """A sync by the Planasonix contract; gives its id."""
        return await self._made("/api/reverse-etl/syncs", sync)

    async def start(self, sync_id: str) -> str:
        """A run by the Planasonix contract; gives its id."""
        return await self._made("/api/reverse-etl/sync/run", {"syncId": sync_id})

    async def start_as_connection(self, sync_id: str) -> str:
        """A run by the RudderStack contract, whose connection is our sync and whose sync is our run."""
        answer = await self._ask("POST", f"/v2/retl-connections/{sync_id}/start", {"syncType": "incremental"})
        return str(answer["syncId"])

    async def run(self, run_id: str) -> RunView:
        """A run with its books."""
        attributes = (await self._ask("GET", f"/api/runs/{run_id}"))["data"]["attributes"]
        return RunView(run_id, attributes["status"], attributes["error"], attributes["books"])

    async def dead_letters(self, sync_id: str, *, limit: int) -> list[Json]:
        """Some of the open dead letters."""
        answer = await self._ask("GET", f"/api/reverse-etl/dlq?sync_id={sync_id}&limit={limit}")
        return [entry["attributes"] for entry in answer["data"]]

    async def open_letters(self, sync_id: str) -> dict[str, int]:
        """How many dead letters are open, by their code."""
        answer = await self._ask("GET", f"/api/reverse-etl/dlq/stats?sync_id={sync_id}")
        return dict(answer["data"]["attributes"]["by_error_code"])

    async def _made(self, path: str, body: Mapping[str, Any]) -> str:
        return str((await self._ask("POST", path, body))["data"]["id"])

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Json:
        async with self._session.request(method, path, json=body) as response:
            answer: Json = await response.json(content_type=None)
            if not response.ok:
                raise TailraceError(f"{method} {path} was answered {response.status}: {answer.get('detail', answer)}")
            return answer
