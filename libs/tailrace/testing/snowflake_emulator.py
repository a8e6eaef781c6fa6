"""The program of `snowflake_server`: fakesnow over HTTP, with what it lacks and Snowflake has.

fakesnow lets everybody in and knows nothing of stopping a statement. Here an account is known by its name and a user by
a key, a token or a password, as Snowflake's documentation describes its answers; the role and warehouse asked for are
taken; a statement can be stopped. SQL is fakesnow's alone.
"""

import asyncio
import gzip
import json
import socket
import sys
import uuid
from hmac import compare_digest
from pathlib import Path
from typing import Any

import jwt
import uvicorn
from fakesnow.server import login_request, query_request, routes, to_conn, to_token
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

_STOPPED = {"code": "000604", "message": "SQL execution canceled", "data": {"sqlState": "57014"}, "success": False}


class Emulator:
    """One account with one user, who may come in as `ways_in` says."""

    def __init__(self, ways_in: dict[str, str]) -> None:
        self._ways_in = ways_in
        self._running: dict[str, Any] = {}
        self._stopped: set[str] = set()

    def app(self) -> Starlette:
        """What answers: our own roads before fakesnow's."""
        roads = [
            Route("/session/v1/login-request", self.login, methods=["POST"]),
            Route("/queries/v1/query-request", self.query, methods=["POST"]),
            Route("/queries/v1/abort-request", self.abort, methods=["POST"]),
            Route("/running", self.running),
            *routes,
        ]
        return Starlette(routes=roads)

    async def login(self, request: Request) -> Response:
        """Let in who is known."""
        asked = (await _body(request))["data"]
        if asked["ACCOUNT_NAME"].lower() != self._ways_in["account"]:
            return Response(status_code=404)
        if refusal := self._refusal(asked):
            code, message = refusal
            return JSONResponse({"code": code, "message": message, "data": {}, "success": False})
        answer = json.loads(bytes((await login_request(request)).body))
        named = {"roleName": "PUBLIC", "warehouseName": None}
        named |= {f"{name}Name": request.query_params.get(key) for name, key in _NAMES if key in request.query_params}
        answer["data"]["sessionInfo"] |= named
        return JSONResponse(answer)

    async def query(self, request: Request) -> Response:
        """Have fakesnow answer, unless the statement is stopped meanwhile."""
        if (await _body(request)).get("describeOnly"):
            return await query_request(request)
        name = request.query_params["requestId"]
        connection = to_conn(to_token(request))
        self._running[name] = connection
        try:
            answer = await query_request(request)
        finally:
            del self._running[name]
        if name in self._stopped:
            self._stopped.discard(name)
            return JSONResponse(_STOPPED)
        return answer

    async def abort(self, request: Request) -> Response:
        """Stop a statement by the name of its request."""
        name = (await _body(request))["requestId"]
        if connection := self._running.get(name):
            self._stopped.add(name)
            connection._duck_conn.interrupt()  # noqa: SLF001 - fakesnow has no word for it
        return JSONResponse({"data": None, "code": None, "message": None, "success": True})

    async def running(self, _request: Request) -> Response:
        """How many statements are worked at."""
        return JSONResponse(len(self._running))

    def _refusal(self, asked: dict[str, Any]) -> tuple[str, str] | None:
        known = self._ways_in
        is_user = asked.get("LOGIN_NAME", "").upper() == known["user"].upper()
        match asked.get("AUTHENTICATOR"):
            case "SNOWFLAKE_JWT":
                is_known = is_user and _is_signed(asked["TOKEN"], known)
                return None if is_known else ("390144", f"JWT token is invalid. [{uuid.uuid4()}]")
            case "PROGRAMMATIC_ACCESS_TOKEN":
                is_known = compare_digest(asked["TOKEN"], known["token"])
                return None if is_known else ("394400", "Programmatic access token is invalid.")
            case _:
                is_known = is_user and compare_digest(asked["PASSWORD"], known["password"])
                return None if is_known else ("390100", "Incorrect username or password was specified.")


_NAMES = (("role", "roleName"), ("warehouse", "warehouse"))


def _is_signed(token: str, known: dict[str, str]) -> bool:
    try:
        told = jwt.decode(token, known["public_key"], algorithms=["RS256"])
    except jwt.InvalidTokenError:
        return False
    whole = f"{known['account']}.{known['user']}".upper()
    return bool(told["sub"] == whole and told["iss"].startswith(f"{whole}.SHA256:"))


async def _body(request: Request) -> Any:  # noqa: ANN401 - foreign JSON
    body = await request.body()
    return json.loads(gzip.decompress(body) if request.headers.get("Content-Encoding") == "gzip" else body)


async def _serve(ways_in: dict[str, str], port_file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(Emulator(ways_in).app(), log_level="warning", lifespan="off")
        unfinished = port_file.with_suffix(".new")
        unfinished.write_text(str(listening.getsockname()[1]))
        unfinished.rename(port_file)
        await uvicorn.Server(config).serve(sockets=[listening])


if __name__ == "__main__":
    asyncio.run(_serve(json.loads(sys.argv[1]), Path(sys.argv[2])))
