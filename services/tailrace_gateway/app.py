"""The HTTP application: each route of the table let in, read, handled and answered in the same way."""

import asyncio
import hashlib
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import orjson
import structlog
from aiohttp import hdrs, web
from pydantic import SecretStr

from tailrace.core.errors import NotFound, TailraceError
from tailrace.observe import fields
from tailrace.observe.metrics import HTTP_DURATION, HTTP_REQUESTS
from tailrace.store.tokens import Identity
from tailrace_gateway.auth import Gate, authorize
from tailrace_gateway.calls import Answer, Call, Route
from tailrace_gateway.conditions import IF_MATCH, only_if
from tailrace_gateway.docs_page import add_docs
from tailrace_gateway.forwarding import Proxies
from tailrace_gateway.models import NoBody
from tailrace_gateway.problems import Fault, Malformed, Unauthenticated, problem_of, problem_of_status
from tailrace_gateway.reading import BODY_SIZE_LIMIT_BYTES, read_body, read_json, read_query
from tailrace_gateway.stores import Stores
from tailrace_gateway.streams import Stream, Streams
from tailrace_gateway.throttle import Throttle

_BODY_S = 30.0
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_KEY = re.compile(r"[\x21-\x7e]{1,200}")
_IDEMPOTENCY_KEY = "Idempotency-Key"
_UNMATCHED = "unmatched"
_DETAILS = {
    404: "no such path; /openapi.json lists them, /docs shows them",
    408: "the body did not arrive in time",
    413: f"the body must not be larger than {BODY_SIZE_LIMIT_BYTES} bytes",
    415: "send the body uncompressed",
}
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Server": "tailrace",
}
"""What every answer says to browsers."""


STREAMS = web.AppKey("streams", Streams)
"""The streams that an application has open."""

log = structlog.get_logger(__name__)

_Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(
    stores: Stores,
    routes: Sequence[Route],
    *,
    throttle: Throttle | None = None,
    platform_token: SecretStr | None = None,
    proxies: Proxies | None = None,
) -> web.Application:
    """The application for these routes; whoever made the stores closes them. Without a throttle any pace is let in.

    Whatever answers GET answers HEAD with the same status and headers.
    """
    entrance = _Entrance(stores, Gate(stores.tokens, platform_token), throttle, proxies or Proxies())
    app = web.Application(middlewares=[_measured, _told], client_max_size=BODY_SIZE_LIMIT_BYTES)
    app[STREAMS] = Streams()
    for route in routes:
        methods = (route.method, hdrs.METH_HEAD) if route.method == hdrs.METH_GET else (route.method,)
        for prefix, method in product(route.prefixes, methods):
            app.router.add_route(method, prefix + route.path, _served(route, entrance, app[STREAMS]))
    app.on_shutdown.append(app[STREAMS].close)
    add_docs(app)
    app.on_response_prepare.append(_dress)
    return app


@dataclass(frozen=True, slots=True)
class _Entrance:
    """What a request passes before it is handled."""

    stores: Stores
    gate: Gate
    throttle: Throttle | None
    proxies: Proxies

    async def let_in(self, request: web.Request, route: Route) -> Call[Any, Any]:
        address = self.proxies.client_of(request)
        try:
            identity = await self.gate.authenticate(request)
        except Unauthenticated:
            log.info("call.refused", method=route.method, route=route.path, address=address)
            raise
        if self.throttle is not None:
            self.throttle.take(identity.token_id)
        authorize(identity, route)
        return await _read(request, route, self.stores.narrowed(identity.workspace_id), _Caller(identity, address))


@dataclass(frozen=True, slots=True)
class _Caller:
    """Who calls, from where."""

    identity: Identity
    address: str


def _served(
    route: Route, entrance: _Entrance, streams: Streams
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def serve(request: web.Request) -> web.StreamResponse:
        call = await entrance.let_in(request, route)
        identity = call.identity
        answer = await route.handler(call)
        if isinstance(answer, Stream):
            return await streams.send(request, answer, identity.token_id)
        if route.method != hdrs.METH_GET:
            log.info("call.answered", method=route.method, route=route.path, caller=identity.name, address=call.address)
        return _response(answer)

    return serve


async def _read(request: web.Request, route: Route, stores: Stores, caller: _Caller) -> Call[Any, Any]:
    document = await _document(request, route)
    path = {name: _path_id(value) for name, value in request.match_info.items()}
    said = orjson.dumps([route.method, route.path, path, document], option=orjson.OPT_SORT_KEYS)
    return Call(
        stores=stores,
        identity=caller.identity,
        path=path,
        query=read_query(route.query, request.query),
        body=read_body(route.body, document),
        url=request.rel_url,
        sha256=hashlib.sha256(said).digest(),
        idempotency_key=_idempotency_key(request),
        action=route.operation_id,
        address=caller.address,
        last_event_id=request.headers.get("Last-Event-ID"),
        only_if=only_if(request.headers.getall(IF_MATCH, [])) if route.heeds_tag else None,
    )


async def _document(request: web.Request, route: Route) -> object:
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise web.HTTPUnsupportedMediaType
    try:
        async with asyncio.timeout(_BODY_S):
            raw = await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except (web.RequestPayloadError, ConnectionError):
        raise Malformed("the body broke off", code="BODY_BROKEN") from None
    return read_json(raw, or_empty=route.is_body_optional or route.body is NoBody)


def _path_id(value: str) -> str:
    """Text that could be an id of ours; anything else is the id of nothing."""
    if not _ID.fullmatch(value):
        raise NotFound("nothing of that id in this workspace")
    return value


def _idempotency_key(request: web.Request) -> str | None:
    values = request.headers.getall(_IDEMPOTENCY_KEY, [])
    if not values:
        return None
    if len(values) > 1 or not _KEY.fullmatch(values[0]):
        detail = "give one key of 1 to 200 visible ASCII characters"
        raise Malformed(
            f"{_IDEMPOTENCY_KEY}: {detail}",
            code="IDEMPOTENCY_KEY",
            faults=[Fault.at_parameter(_IDEMPOTENCY_KEY, "idempotency_key", detail)],
        )
    return values[0]


def _response(answer: Answer) -> web.Response:
    if answer.payload is None:
        return web.Response(status=answer.status, headers=answer.headers)
    return web.Response(
        status=answer.status,
        headers=answer.headers,
        body=orjson.dumps(answer.payload),
        content_type="application/json",
    )


@web.middleware
async def _measured(request: web.Request, handler: _Next) -> web.StreamResponse:
    begun = time.perf_counter()
    response = await handler(request)
    resource = request.match_info.route.resource
    route = resource.canonical if resource is not None else _UNMATCHED
    if isinstance(response, web.Response):  # a stream lasts as long as its client likes
        HTTP_DURATION.labels(route).observe(time.perf_counter() - begun)
    HTTP_REQUESTS.labels(request.method, route, str(response.status)).inc()
    return response


@web.middleware
async def _told(request: web.Request, handler: _Next) -> web.StreamResponse:
    """Turns whatever goes wrong into a problem document."""
    headers: Mapping[str, str] = {}
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as error:
        detail = f"this path takes {', '.join(sorted(error.allowed_methods))}"
        problem, headers = problem_of_status(error.status, detail), error.headers
    except web.HTTPException as error:
        detail = _DETAILS.get(error.status, error.reason)
        problem, headers = problem_of_status(error.status, detail), error.headers
    except TailraceError as error:
        problem = problem_of(error)
        if problem.status >= web.HTTPInternalServerError.status_code:
            log.warning("call.failed", **{fields.CODE: error.code})
    except Exception:
        log.exception("call.crashed", method=request.method)
        problem = problem_of(TailraceError(""))
    response = problem.response(request.path)
    if hdrs.ALLOW in headers:
        response.headers[hdrs.ALLOW] = headers[hdrs.ALLOW]
    return response


async def _dress(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)
    response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
