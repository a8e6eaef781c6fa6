"""The OpenAPI 3.1 document of the API, made from the table of routes and the models that serve it."""

import inspect
import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from tailrace.core.json_schemas import Plain
from tailrace.store.tokens import Role
from tailrace_gateway.calls import Audience, Route
from tailrace_gateway.envelopes import ProblemDocument
from tailrace_gateway.examples import ASKED, TOLD
from tailrace_gateway.models import NoBody
from tailrace_gateway.parameters import IDEMPOTENCY_KEY, IF_MATCH, LAST_EVENT_ID, path_parameters, query_parameters
from tailrace_gateway.problem_examples import problem
from tailrace_gateway.routes import SECTIONS

VERSION = "1.0.0"

Json: TypeAlias = dict[str, Any]
_Schemas: TypeAlias = Mapping[tuple[type[BaseModel], Literal["validation", "serialization"]], Json]

_ABOUT = """
Syncs rows of a warehouse to other tools, and tells what became of each row.

Send a token as `Authorization: Bearer <token>`; it belongs to one workspace. Paths under `/api` are also served under
`/v1/api`, but for those of jobs; paths under `/v2/retl-connections` and `/v2/retl-sources` also without `/v2`. Names in
requests are camelCase (snake_case is taken too), names in answers are those of the contract in question. Answers may
gain members.

Errors are problem documents (RFC 9457), which say what to do. A request that cannot be read is 400, one with values
that cannot work is 422 with each of them. Bodies are JSON of at most 1 MiB, uncompressed.
"""
_ERRORS = {
    400: "The request cannot be read: no JSON, or a cursor or header that is none.",
    401: "No token, or one that is unknown, expired or revoked.",
    403: "The token's role does not cover this.",
    404: "Nothing of that id in this workspace.",
    409: "Something is in the way; `existing_id` names it.",
    412: "It has changed since the state that If-Match names: get it again.",
    413: "The body is too large.",
    415: "The body is compressed.",
    422: "Some values cannot work; `errors` names each.",
    424: "The destination does not answer as it should.",
    429: "Too many at once, or too often; come back after `Retry-After` seconds.",
    500: "Something went wrong on our side.",
    503: "The state store does not answer; nothing is lost, come back after `Retry-After` seconds.",
}
_ANY = (400, 401, 422, 429, 500, 503)
_WITH_BODY = (413, 415)
_ID = re.compile(r"_ids?$")
_PROBLEM_TYPE = "application/problem+json"
_JSON_TYPE = "application/json"
_STREAM_TYPE = "text/event-stream"


def openapi() -> Json:
    """The document; every operation stands under its canonical path alone."""
    routes = [route for section in SECTIONS for route in section.routes]
    schemas, definitions = _described(routes)
    paths: dict[str, Json] = {}
    for section in SECTIONS:
        for route in section.routes:
            operation = _operation(route, section.name, schemas)
            paths.setdefault(canonical(route), {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tailrace",
            "version": VERSION,
            "description": _ABOUT.strip(),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The gateway that this document comes from."}],
        "security": [{"token": []}],
        "tags": [{"name": section.name, "description": section.about} for section in SECTIONS],
        "paths": paths,
        "components": {
            "schemas": definitions,
            "responses": _problems(routes, schemas),
            "securitySchemes": {"token": _TOKEN},
        },
    }


def canonical(route: Route) -> str:
    """The path under which an operation is described."""
    return route.prefixes[0] + route.path


def errors_of(route: Route) -> list[int]:
    """Every status of a problem that the operation may answer."""
    found = {*_ANY, *route.errors}
    if route.role is not Role.VIEWER or route.audience is Audience.PLATFORM:
        found.add(403)
    if "{" in route.path or any(map(_ID.search, [*route.body.model_fields, *route.query.model_fields])):
        found.add(404)
    if route.method in {"POST", "PUT"}:
        found.update(_WITH_BODY)
    if _takes_key(route):
        found.add(409)
    if route.heeds_tag:
        found.add(412)
    return sorted(found)


def _takes_key(route: Route) -> bool:
    return route.method == "POST"


_TOKEN = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "trc_<id>_<secret>",
    "description": (
        "Made by `tailrace token create` or POST /api/tokens;"
        " a viewer reads, an editor also acts, an admin also manages."
    ),
}


def _described(routes: Iterable[Route]) -> tuple[_Schemas, Json]:
    """A reference for each model of the routes, and what the references lead to, named by the models' names."""
    bodies = {(route.body, "validation"): None for route in routes if route.body is not NoBody}
    answers = {(route.answer, "serialization"): None for route in routes if route.answer}
    wanted: Any = [*bodies, *answers, (ProblemDocument, "serialization")]
    schemas, document = models_json_schema(wanted, ref_template="#/components/schemas/{model}", schema_generator=Plain)
    found = document["$defs"]
    names = {old: str(schema.get("title", old)) for old, schema in found.items()}
    if len(set(names.values())) < len(names):
        raise ValueError(f"two models of the API have one name: {sorted(names.values())}")
    definitions = {names[old]: _renamed(schema, names) for old, schema in found.items()}
    return _renamed(schemas, names), dict(sorted(definitions.items()))


def _renamed(part: Any, names: Mapping[str, str]) -> Any:  # noqa: ANN401 - any JSON
    """The same with references to the new names; titles say nothing that the names do not."""
    match part:
        case {"$ref": str(reference), **rest}:
            folder, _, name = reference.rpartition("/")
            return {"$ref": f"{folder}/{names[name]}", **rest}
        case dict():
            return {key: _renamed(inner, names) for key, inner in part.items() if not _is_title(key, inner)}
        case list():
            return [_renamed(inner, names) for inner in part]
        case _:
            return part


def _is_title(key: object, inner: object) -> bool:
    return key == "title" and isinstance(inner, str)


def _operation(route: Route, tag: str, schemas: _Schemas) -> Json:
    parameters = [*path_parameters(route.path), *query_parameters(route.query)]
    if _takes_key(route):
        parameters.append(IDEMPOTENCY_KEY)
    if route.is_stream:
        parameters.append(LAST_EVENT_ID)
    if route.heeds_tag:
        parameters.append(IF_MATCH)
    told = (route.about or inspect.getdoc(route.handler) or "").partition("\n\n:")[0]
    return {
        "operationId": route.operation_id,
        "summary": route.summary,
        "description": f"{' '.join(told.split())}\n\nNeeds the role {route.role} or more.",
        "tags": [tag],
        **({"parameters": parameters} if parameters else {}),
        **_request(route, schemas),
        "responses": {
            str(route.status): _answer(route, schemas),
            **{str(status): {"$ref": f"#/components/responses/{_name(status)}"} for status in errors_of(route)},
        },
    }


def _request(route: Route, schemas: _Schemas) -> Json:
    if route.body is NoBody:
        return {}
    content = {"schema": schemas[route.body, "validation"], "examples": _examples(ASKED.get(route.operation_id))}
    return {"requestBody": {"required": not route.is_body_optional, "content": {_JSON_TYPE: content}}}


def _answer(route: Route, schemas: _Schemas) -> Json:
    if route.is_stream:
        return {"description": "Events until the stream ends.", "content": {_STREAM_TYPE: _stream(route)}}
    if route.answer is None:
        return {"description": "Done; nothing to tell."}
    told = {
        "description": (inspect.getdoc(route.answer) or "").partition("\n")[0],
        "content": {
            _JSON_TYPE: {
                "schema": schemas[route.answer, "serialization"],
                "examples": _examples(TOLD.get(route.operation_id)),
            }
        },
    }
    headers = {"Idempotent-Replayed": _REPLAYED} if _takes_key(route) else {}
    headers |= {"ETag": _TAG} if route.tells_tag else {}
    return told | ({"headers": headers} if headers else {})


_REPLAYED = {
    "description": "`true` where this is the answer to an earlier request with the same Idempotency-Key.",
    "schema": {"type": "string", "const": "true"},
}
_TAG = {"description": "Names this state, for If-Match.", "schema": {"type": "string"}}
_RETRY_AFTER = {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}
_RATE_LIMIT = {
    "X-RateLimit-Limit": {"description": "Calls at once after a pause.", "schema": {"type": "integer", "minimum": 1}},
    "X-RateLimit-Remaining": {"description": "None are left.", "schema": {"type": "integer", "const": 0}},
    "X-RateLimit-Reset": {
        "description": "When the next is let in, in seconds since 1970.",
        "schema": {"type": "integer"},
    },
}
"""What a token is told that calls too often; other limits have no such figures."""

_CHALLENGE = {"description": "How to authenticate.", "schema": {"type": "string"}}


def _stream(route: Route) -> Json:
    return {"schema": {"type": "string"}, "examples": _examples(TOLD.get(route.operation_id))}


def _examples(example: object) -> Json:
    return {"published": {"value": example}}


def _problems(routes: Iterable[Route], schemas: _Schemas) -> Json:
    statuses = sorted({status for route in routes for status in errors_of(route)})
    return {_name(status): _problem(status, schemas) for status in statuses}


def _problem(status: int, schemas: _Schemas) -> Json:
    wait = {"Retry-After": _RETRY_AFTER}
    headers = {401: {"WWW-Authenticate": _CHALLENGE}, 429: wait | _RATE_LIMIT, 503: wait}.get(status)
    content = {"schema": schemas[ProblemDocument, "serialization"], "examples": _examples(problem(status))}
    described: Json = {"description": _ERRORS[status], "content": {_PROBLEM_TYPE: content}}
    return described | ({"headers": headers} if headers else {})


def _name(status: int) -> str:
    """The phrase of a status as one word, such as `NotFound`."""
    return "".join(word.capitalize() for word in HTTPStatus(status).name.split("_"))
