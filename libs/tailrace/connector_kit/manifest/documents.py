"""What is made from the connectors: the page of destinations, and the JSON Schema of manifests."""

import asyncio
from collections.abc import Mapping

import orjson

from tailrace.connector_kit import registry
from tailrace.connector_kit.manifest.model import Manifest
from tailrace.connector_kit.manifest.report import report

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_HEAD = """# Destinations

Made from the connectors by `tailrace docs generate`. The levels: *bronze* keeps every promise of the contract; *silver*
was recorded against the real service, and its limits cite their page; *gold* also checks credentials and discovers
fields. A limit can be set to the account's own for each connection: `rows_per_batch`, `bytes_per_batch`, `rates`. The
requests are recorded with made-up rows.
"""


def render() -> Mapping[str, bytes]:
    """The files under `deploy/`, of the destinations that come with Tailrace."""
    schema = {"$schema": _DIALECT, **Manifest.model_json_schema()}
    return {
        "docs/destinations.md": asyncio.run(_page()).encode(),
        "schemas/manifest.json": orjson.dumps(schema, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE),
    }


async def _page() -> str:
    found = {name: registry.destination_type(name) for name in registry.built_in("destination")}
    parts = [await report(each, about=registry.about("destination", name)) for name, each in found.items()]
    return "\n".join([_HEAD, *parts])
