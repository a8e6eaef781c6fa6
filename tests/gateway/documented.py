"""Whether an answer is as the document says: the document is what clients are made from."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator

from tailrace_gateway.openapi import openapi

Json = Any

_ADDRESS = "urn:tailrace:api"
_PARAMETER = re.compile(r"{\w+}")
_PROBLEM = "application/problem+json"
_UNROUTED = {404, 405}


def require_documented(method: str, path: str, status: int, headers: Mapping[str, str], raw: bytes) -> None:
    """Return if the document knows this answer to the operation, to the last member.

    A path that leads to no operation must be answered by a problem.
    """
    where = f"{method} {path} -> {status}"
    operation = operation_at(method, path)
    told = headers.get("Content-Type", "").partition(";")[0]
    if operation is None:
        assert (told, status in _UNROUTED) == (_PROBLEM, True), where
        validator({"$ref": "#/components/schemas/ProblemDocument"}).validate(json.loads(raw))
        return
    assert str(status) in operation["responses"], f"{where} is not in the document"
    response = resolved(operation["responses"][str(status)])
    assert ("content" in response) == bool(raw), where
    if raw:
        assert list(response["content"]) == [told], where
        validator(response["content"][told]["schema"]).validate(json.loads(raw))
    missing = {name for name in response.get("headers", {}) if name in _ALWAYS} - headers.keys()
    assert missing == set(), where


_ALWAYS = {"WWW-Authenticate", "Retry-After"}


def operation_at(method: str, path: str) -> Json:
    """The operation behind a path, also where the path is an alias; None where there is none."""
    plain = path.partition("?")[0].removeprefix("/v1")
    plain = f"/v2{plain}" if plain.startswith(("/retl-connections", "/retl-sources")) else plain
    found = [item for pattern, item in patterns() if pattern.fullmatch(plain)]
    return found[0].get(method.lower()) if found else None


@cache
def document() -> Json:
    return openapi()


@cache
def patterns() -> tuple[tuple[re.Pattern[str], Json], ...]:
    """The paths, those without parameters first."""
    ordered = sorted(document()["paths"].items(), key=lambda each: "{" in each[0])
    return tuple((re.compile(_PARAMETER.sub("[^/]+", path)), item) for path, item in ordered)


def resolved(part: Json) -> Json:
    return document()["components"]["responses"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part


def validator(schema: Json) -> Validator:
    """A validator of a schema of the document that takes no member which the document does not name."""
    return Draft202012Validator({**schema, "$id": _ADDRESS, "components": strict()})


@cache
def strict() -> Json:
    return {"schemas": closed(document()["components"]["schemas"])}


def closed(part: Json) -> Json:
    """The same, where objects with known members have no others."""
    match part:
        case {"properties": dict()}:
            return {"additionalProperties": False} | {name: closed(inner) for name, inner in part.items()}
        case dict():
            return {name: closed(inner) for name, inner in part.items()}
        case list():
            return [closed(inner) for inner in part]
        case _:
            return part


def operations() -> Iterator[tuple[str, Json]]:
    """Every operation by its id."""
    for item in document()["paths"].values():
        for operation in item.values():
            yield operation["operationId"], operation
