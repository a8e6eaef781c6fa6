"""The files about the API that are kept in the repository."""

import orjson

from tailrace_gateway.openapi import openapi


def render() -> dict[str, bytes]:
    """Every document by its path under `deploy/`."""
    return {"openapi.json": orjson.dumps(openapi(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)}
