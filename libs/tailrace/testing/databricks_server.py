"""A stand-in of Databricks' Statement Execution API on loopback, for tests: SQL is carried out by DuckDB.

It answers as https://docs.databricks.com/api/workspace/statementexecution describes: states, pieces, links that end and
let in by themselves, refusals. A test may have it be busy, forget access tokens, or let links end.
"""

import asyncio
import secrets
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import duckdb
import orjson
from aiohttp import web

from tailrace.testing.databricks_dialect import MACRO, RefusedError, described, refusal, translated, type_text

_PATH = "/api/2.0/sql/statements"
_LOOPBACK = "127.0.0.1"


@dataclass(slots=True)
class _Job:
    cursor: duckdb.DuckDBPyConnection
    is_large: bool
    state: str = "PENDING"
    error: RefusedError | None = None
    rows: Sequence[Sequence[str | None]] = ()


@dataclass(slots=True)
class Databricks:
    """A workspace with one warehouse and one user; what stands in `moods` is answered instead, a call each."""

    port: int = 0
    warehouse_id: str = "abc123"
    access_token: str = field(default_factory=secrets.token_hex, repr=False)
    client_id: str = "reader"
    client_secret: str = field(default_factory=secrets.token_hex, repr=False)
    rows_per_piece: int = 500
    is_truncated: bool = False
    lost_rows: int = 0
    blank_bytes: int = 0
    is_stuck: bool = False
    is_asleep: bool = False
    dead_links: int = 0
    moods: list[web.Response] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    tokens_given: int = 0
    _database: duckdb.DuckDBPyConnection = field(default_factory=duckdb.connect)
    _jobs: dict[str, _Job] = field(default_factory=dict)
    _tokens: set[str] = field(default_factory=set)
    _links: dict[str, tuple[_Job, int]] = field(default_factory=dict)
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(4))
    _running: set[asyncio.Future[None]] = field(default_factory=set)

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"http://{_LOOPBACK}:{self.port}"

    @property
    def settings(self) -> dict[str, str]:
        """Settings of a source that reads from it."""
        return {"host": self.address, "warehouse_id": self.warehouse_id, "access_token": self.access_token}

    @property
    def statements_running(self) -> int:
        """How many statements are worked at."""
        return sum(job.state in {"PENDING", "RUNNING"} for job in self._jobs.values())

    def run(self, *statements: str) -> None:
        """Statements of DuckDB, as the workspace's owner."""
        for statement in statements:
            self._database.cursor().execute(statement)

    def end_tokens(self) -> None:
        """From now on no access token of the client is known."""
        self._tokens.clear()

    def app(self) -> web.Application:
        """What answers."""
        app = web.Application(middlewares=[self._guard])
        app.add_routes(
            [
                web.post("/oidc/v1/token", self._token),
                web.post(_PATH, self._execute),
                web.get(_PATH + "/{id}", self._status),
                web.post(_PATH + "/{id}/cancel", self._cancel),
                web.get(_PATH + "/{id}/result/chunks/{at}", self._chunk),
                web.get("/storage/{link}", self._stored),
            ]
        )
        return app

    async def close(self) -> None:
        """Stop whatever runs."""
        for job in self._jobs.values():
            job.cursor.interrupt()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._threads.shutdown()

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        self.calls.append(f"{request.method} {request.path}")
        shown = request.headers.get("Authorization", "")
        if request.path.startswith(_PATH) and self.moods:
            return self.moods.pop(0)
        if request.path.startswith("/storage/"):
            return web.Response(status=400) if shown else await handler(request)
        if request.path.startswith(_PATH) and shown.removeprefix("Bearer ") not in {self.access_token, *self._tokens}:
            return _json({"error_code": "UNAUTHENTICATED", "message": f"bad token {shown}"}, 401)
        return await handler(request)

    async def _token(self, request: web.Request) -> web.Response:
        basic = b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()
        form = await request.post()
        if request.headers.get("Authorization") != f"Basic {basic}" or form["scope"] != "all-apis":
            return _json({"error": "invalid_client"}, 401)
        self.tokens_given += 1
        token = secrets.token_hex()
        self._tokens.add(token)
        return _json({"access_token": token, "token_type": "Bearer", "expires_in": 3600})

    async def _execute(self, request: web.Request) -> web.Response:
        asked = await request.json()
        if asked["warehouse_id"] != self.warehouse_id:
            return _json({"error_code": "NOT_FOUND", "message": "no such warehouse"}, 404)
        name = secrets.token_hex(8)
        job = self._jobs[name] = _Job(self._session(), asked["disposition"] == "EXTERNAL_LINKS")
        if not self.is_asleep:
            values = {each["name"]: each["value"] for each in asked["parameters"]}
            working = asyncio.get_running_loop().run_in_executor(
                self._threads, _carry_out, job, asked["statement"], values
            )
            self._running.add(working)
        return _json({"statement_id": name, "status": {"state": "PENDING"}})

    async def _status(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        job = self._jobs[name]
        if job.error is not None:
            told = {"error_code": "BAD_REQUEST", "message": str(job.error)}
            return _json(
                {"statement_id": name, "status": {"state": job.state, "error": told, "sql_state": job.error.state}}
            )
        answer: dict[str, Any] = {"statement_id": name, "status": {"state": job.state}}
        if job.state == "SUCCEEDED":
            rows = len(job.rows)
            answer["manifest"] = {"format": "JSON_ARRAY", "total_row_count": rows, "truncated": self.is_truncated}
            answer["result"] = self._piece(job, 0) if rows else {}
        return _json(answer)

    async def _cancel(self, request: web.Request) -> web.Response:
        job = self._jobs[request.match_info["id"]]
        if job.state in {"PENDING", "RUNNING"}:
            job.state = "CANCELED"
            job.cursor.interrupt()
        return _json({})

    async def _chunk(self, request: web.Request) -> web.Response:
        at = 0 if self.is_stuck else int(request.match_info["at"])
        return _json(self._piece(self._jobs[request.match_info["id"]], at))

    async def _stored(self, request: web.Request) -> web.Response:
        found = self._links.get(request.match_info["link"])
        if self.dead_links:
            self.dead_links -= 1
            found = None
        if found is None or request.headers.get("x-storage-key") != "k":
            return web.Response(status=403, text="<Error>AccessDenied</Error>")
        job, at = found
        body = orjson.dumps(self._rows(job, at)[self.lost_rows :]) + b" " * self.blank_bytes
        return web.Response(body=body, content_type="application/json")

    def _session(self) -> duckdb.DuckDBPyConnection:
        session = self._database.cursor()
        session.execute("SET TimeZone = 'America/New_York'")  # one that must not matter
        return session

    def _rows(self, job: _Job, at: int) -> Sequence[Sequence[str | None]]:
        return job.rows[at * self.rows_per_piece : (at + 1) * self.rows_per_piece]

    def _piece(self, job: _Job, at: int) -> Mapping[str, Any]:
        following = {"next_chunk_index": at + 1} if (at + 1) * self.rows_per_piece < len(job.rows) else {}
        begin = at * self.rows_per_piece
        told = {"chunk_index": at, "row_offset": begin, "row_count": len(self._rows(job, at)), **following}
        if not job.is_large:
            return {**told, "data_array": self._rows(job, at)}
        link = secrets.token_hex()
        self._links[link] = (job, at)
        shown = {"external_link": f"{self.address}/storage/{link}", "http_headers": {"x-storage-key": "k"}}
        return {"external_links": [told | shown]}


@asynccontextmanager
async def databricks_server() -> AsyncIterator[Databricks]:
    """A fresh workspace for the scope."""
    server = Databricks()
    server.run(MACRO)
    runner = web.AppRunner(server.app(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, _LOOPBACK, 0)
    await site.start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        await server.close()
        await runner.cleanup()


def _carry_out(job: _Job, statement: str, values: Mapping[str, str]) -> None:
    if job.state != "PENDING":
        return
    job.state = "RUNNING"
    try:
        job.rows = _answered(job.cursor, statement, values)
    except RefusedError as error:
        job.error = error
    except duckdb.InterruptException:
        return
    except duckdb.Error as error:
        job.error = refusal(error)
    job.state = "SUCCEEDED" if job.error is None else "FAILED"


def _answered(
    cursor: duckdb.DuckDBPyConnection, statement: str, values: Mapping[str, str]
) -> Sequence[Sequence[str | None]]:
    query = described(statement)
    if query is None:
        found = cursor.execute(translated(statement, values), dict(values) or None).fetchall()
        return [[None if cell is None else str(cell) for cell in row] for row in found]
    told = cursor.execute(f"DESCRIBE {translated(query, {})}").fetchall()
    return [[name, type_text(kind), None] for name, kind, *_ in told]


def _json(document: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(document), content_type="application/json")
