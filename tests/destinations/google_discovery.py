"""Google's description of an API, from the copy that its client for Python brings along, and what it says of calls.

https://developers.google.com/discovery/v1/reference/apis
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jsonschema
import orjson

from tailrace.connector_kit.http import HttpRequest, HttpResponse
from tests.destinations.sdk_models import file_of

Json = dict[str, Any]

_KEPT = ("type", "enum")


class Description:
    """An API as described; `unions` are the objects that hold one of their properties, for which it has no word."""

    def __init__(self, name: str, *unions: str) -> None:
        path = f"googleapiclient/discovery_cache/documents/{name}.json"
        self.document: Json = orjson.loads(file_of("google-api-python-client", path).read_bytes())
        self._unions = unions
        self._schemas = {each: self._schema(schema) for each, schema in self.document["schemas"].items()}

    def refuse_what_is_not(self, request: HttpRequest, response: HttpResponse, scope: str) -> None:
        """Return if request and answer are those of a method that the scope allows.

        :raises AssertionError, ValidationError: they are not.
        """
        method = self._method(request)
        assert scope in method["scopes"]
        known = self.document["parameters"] | method["parameters"]
        for name, values in parse_qs(urlsplit(request.url).query, strict_parsing=True).items():
            assert set(values) <= set(known[name].get("enum", values))
        if "request" in method:
            self.validate(orjson.loads(request.body), method["request"]["$ref"])
        self.validate(orjson.loads(response.body), method["response"]["$ref"])

    def validate(self, document: object, name: str) -> None:
        """Return if a document is an object of this name, and has nothing else.

        :raises ValidationError: it is not.
        """
        # The schemas are made here: to look each time whether they are any costs more than all else.
        jsonschema.Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": self._schemas}).validate(document)

    def _method(self, request: HttpRequest) -> Json:
        path = request.url.removeprefix(self.document["rootUrl"]).partition("?")[0]
        found = [
            method
            for method in _methods(self.document["resources"])
            if method["httpMethod"] == request.method and _matches(method["flatPath"], path)
        ]
        [method] = found
        return method

    def _schema(self, given: Json) -> Json:
        if "$ref" in given:
            return {"$ref": f"#/$defs/{given['$ref']}"}
        schema: Json = {name: given[name] for name in _KEPT if name in given and given[name] != "any"}
        if "items" in given:
            schema["items"] = self._schema(given["items"])
        if given.get("type") == "object":
            more = given.get("additionalProperties")
            schema["additionalProperties"] = self._schema(more) if more else False
            schema["properties"] = {name: self._schema(each) for name, each in given.get("properties", {}).items()}
        if given.get("id") in self._unions:
            schema |= {"minProperties": 1, "maxProperties": 1}
        return schema


def _methods(resources: Mapping[str, Json]) -> Iterator[Json]:
    for resource in resources.values():
        yield from resource.get("methods", {}).values()
        yield from _methods(resource.get("resources", {}))


def _matches(template: str, path: str) -> bool:
    """Whether a path has what a template has; in what fills it, colons are quoted."""
    return re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/:]+", re.escape(template)), path) is not None
