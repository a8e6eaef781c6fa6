"""A service on loopback that takes batches as the HTTP destination sends them, and remembers people."""

import json
from typing import Any

from aiohttp import web

from tests.destinations.loopback_service import LoopbackService

REFUSED = {"status": "rejected", "code": "BAD_NAME", "message": "this name is not taken", "field": "name"}


class PeopleService(LoopbackService):
    """Upserts, inserts, updates and deletes by id; says per row what it did."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self.token = token
        self.people: dict[str, dict[str, str | None]] = {}
        self.refused_names: set[str] = set()
        self.echoes = False

    async def answer(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.Response(status=401)
        if request.method == "OPTIONS":
            return web.Response(status=204)
        batch = json.loads(await request.read(), parse_int=str, parse_float=str)
        await self.turn(request)
        return web.json_response({"results": [self._apply(batch["operation"], row) for row in batch["rows"]]})

    def _apply(self, operation: str, row: dict[str, Any]) -> dict[str, Any]:
        exists = row["id"] in self.people
        if operation == "delete":
            self.people.pop(row["id"], None)
        elif row["name"] in self.refused_names:
            return REFUSED
        elif operation == "insert" and exists:
            return {"status": "rejected", "code": "ALREADY_EXISTS", "message": "this id is taken"}
        elif operation == "update" and not exists:
            return {"status": "rejected", "code": "NOT_FOUND", "message": "there is nobody of this id"}
        else:
            self.people[row["id"]] = row
        return {"status": "ok", "record": row} if self.echoes else {"status": "ok"}
