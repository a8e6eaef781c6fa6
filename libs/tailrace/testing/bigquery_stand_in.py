"""A stand-in of BigQuery's REST API on loopback, after https://cloud.google.com/bigquery/docs/reference/rest.

It stops with its scope. It knows sign-in by a service account's key, dry runs, jobs by ids of the caller, waiting,
pages, cancelling, and that a job outside of the US is found by its location alone; and it can be told to fail.
"""

import asyncio
import json
import secrets
from base64 import urlsafe_b64decode
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import duckdb
from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tailrace.testing.bigquery_engine import Engine, Refused, Translated, translated, values_of

LOCATION = "EU"
_PROJECT = "acme-data"
_EMAIL = f"tailrace@{_PROJECT}.iam.gserviceaccount.com"
_TOKENS = "https://oauth2.googleapis.com/token"
_SCOPE = "https://www.googleapis.com/auth/bigquery"
_STOPPED = Refused(400, "stopped", "Job execution was cancelled: User requested cancellation")


@dataclass(frozen=True, slots=True)
class Fault:
    """What the next call is answered with, instead of being heard."""

    status: int
    reason: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Job:
    cursor: duckdb.DuckDBPyConnection
    work: "asyncio.Future[list[tuple[object, ...]]]"
    schema: Any
    is_cancelled: bool = False


class BigQueryStandIn:
    """A project, and a service account that may use it."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.project = _PROJECT
        self.port = 0
        self.rows_per_page = 100_000
        self.faults: deque[Fault] = deque()
        self.answers_to_lose = 0
        self.times_unfound = 0
        self.before_jobs: str | None = None
        self.pages_to_tell: int | None = None
        self.statement_kind: str | None = None
        self.tokens: list[str] = []
        self.bodies: list[Mapping[str, Any]] = []
        self.pages: list[Mapping[str, str]] = []
        self._jobs: dict[str, _Job] = {}
        self._key = _key()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def private_key(self) -> str:
        """The account's key, PEM."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    def account(self, private_key: str | None = None) -> str:
        """The file of a key, by default of the one that it knows."""
        return json.dumps({"client_email": _EMAIL, "private_key": private_key or self.private_key})

    def expire(self) -> None:
        """Let no token in that was given."""
        self.tokens.clear()

    async def jobs_running(self) -> int:
        """How many jobs are at work."""
        return sum(not job.work.done() for job in self._jobs.values())

    def jobs_made(self) -> int:
        """How many jobs there ever were."""
        return len(self._jobs)

    async def close(self) -> None:
        """Stop what is at work."""
        for job in self._jobs.values():
            job.cursor.interrupt()
        await asyncio.gather(*(job.work for job in self._jobs.values()), return_exceptions=True)
        self.engine.close()

    def app(self) -> web.Application:
        """The service."""
        app = web.Application(middlewares=[self._guarded], client_max_size=16 << 20)
        place = "/bigquery/v2/projects/{project}"
        app.add_routes(
            [
                web.post("/token", self._token),
                web.post(f"{place}/jobs", self._insert),
                web.get(f"{place}/queries/{{job}}", self._results),
                web.post(f"{place}/jobs/{{job}}/cancel", self._cancel),
            ]
        )
        return app

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Any) -> web.StreamResponse:  # noqa: ANN401 - aiohttp's own type is private
        try:
            if request.path != "/token":
                self._check(request)
            response: web.StreamResponse = await handler(request)
        except Refused as refused:
            return _error(refused)
        if self.answers_to_lose and request.path.endswith("/jobs"):
            self.answers_to_lose -= 1
            if request.transport is not None:
                request.transport.close()
        return response

    def _check(self, request: web.Request) -> None:
        if self.faults:
            fault = self.faults.popleft()
            raise Refused(fault.status, fault.reason, "as it was told to", fault.headers)
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
            raise Refused(401, "authError", "Invalid Credentials")
        if request.match_info["project"] != self.project:
            raise Refused(403, "accessDenied", "Access Denied: the user may make no jobs in this project")

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        content, _, signature = str(form["assertion"]).rpartition(".")
        claims = json.loads(_decoded(content.partition(".")[2]))
        try:
            self._key.public_key().verify(_decoded(signature), content.encode(), PKCS1v15(), SHA256())
        except InvalidSignature:
            return web.json_response({"error": "invalid_grant"}, status=400)
        if (claims["iss"], claims["aud"], claims["scope"]) != (_EMAIL, _TOKENS, _SCOPE):
            return web.json_response({"error": "invalid_grant"}, status=400)
        self.tokens.append(secrets.token_urlsafe(30))
        return web.json_response({"access_token": self.tokens[-1], "expires_in": 3599, "token_type": "Bearer"})

    async def _insert(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.bodies.append(body)
        configuration, query = body["configuration"], body["configuration"]["query"]
        if self.before_jobs is not None and not configuration.get("dryRun"):
            self.engine.run(self.before_jobs)
        statement = translated(query["query"], query.get("queryParameters", []))
        schema = await asyncio.to_thread(self.engine.schema, statement) if statement.kind == "SELECT" else []
        reference = {"projectId": self.project, "location": LOCATION}
        if configuration.get("dryRun"):
            kind = statement.kind if self.statement_kind is None else self.statement_kind
            told = {"statementType": kind, "schema": {"fields": schema}}
            return web.json_response({"jobReference": reference, "statistics": {"query": told}})
        job_id = body["jobReference"]["jobId"]
        if job_id in self._jobs:
            raise Refused(409, "duplicate", f"Already Exists: Job {job_id}")
        self._begin(job_id, statement, schema)
        return web.json_response({"jobReference": reference | {"jobId": job_id}, "status": {"state": "RUNNING"}})

    def _begin(self, job_id: str, statement: Translated, schema: Any) -> None:  # noqa: ANN401 - JSON
        cursor = self.engine.cursor()
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(None, lambda: cursor.execute(statement.sql).fetchall())
        self._jobs[job_id] = _Job(cursor, work, schema)

    async def _results(self, request: web.Request) -> web.Response:
        job, question = self._job(request), request.query
        self.pages.append(dict(question))
        await asyncio.wait({job.work}, timeout=int(question.get("timeoutMs", 10_000)) / 1000)
        if not job.work.done():
            return web.json_response({"jobComplete": False})
        if job.is_cancelled:
            raise _STOPPED
        try:
            rows = job.work.result()
        except duckdb.Error as error:
            raise Refused(400, "invalidQuery", str(error)) from error
        at = int(question.get("pageToken", "at0").removeprefix("at"))
        end = at + min(int(question.get("maxResults", self.rows_per_page)), self.rows_per_page)
        answer = {"jobComplete": True, "totalRows": str(len(rows)), "schema": {"fields": job.schema}}
        found = {"rows": [values_of(row) for row in rows[at:end]]} if rows[at:end] else {}
        is_last = end >= len(rows) or len(self.pages) == self.pages_to_tell
        return web.json_response(answer | found | ({} if is_last else {"pageToken": f"at{end}"}))

    async def _cancel(self, request: web.Request) -> web.Response:
        job = self._job(request)
        if not job.work.done():
            job.is_cancelled = True
            while not job.work.done():
                # An interrupt before the statement begins is not heard, so there are several.
                job.cursor.interrupt()
                await asyncio.wait({job.work}, timeout=0.05)
        return web.json_response({"kind": "bigquery#jobCancelResponse"})

    def _job(self, request: web.Request) -> _Job:
        job = self._jobs.get(request.match_info["job"])
        if self.times_unfound:
            self.times_unfound -= 1
            job = None
        if job is None or request.query.get("location") != LOCATION:
            raise Refused(404, "notFound", f"Not found: Job {request.match_info['job']}")
        return job


@asynccontextmanager
async def bigquery_stand_in() -> AsyncIterator[BigQueryStandIn]:
    """A service for as long as the scope lasts."""
    service = BigQueryStandIn()
    runner = web.AppRunner(service.app())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    service.port = runner.addresses[0][1]
    try:
        yield service
    finally:
        await service.close()
        await runner.cleanup()


@cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65_537, key_size=2048)


def _decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _error(refused: Refused) -> web.Response:
    told = {"reason": refused.reason, "message": str(refused), "domain": "global"}
    body = {"error": {"code": refused.status, "message": str(refused), "errors": [told]}}
    return web.json_response(body, status=refused.status, headers=refused.headers)
