"""What a connector does, told from its manifest: limits with their sources, and its requests, recorded."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import orjson

from tailrace.connector_kit.capabilities import capabilities_of
from tailrace.connector_kit.destination import Destination
from tailrace.connector_kit.http import HttpRequest
from tailrace.connector_kit.manifest.engine import manifest_of
from tailrace.connector_kit.manifest.limits import Bucket, RowLimit, SizeLimit
from tailrace.connector_kit.manifest.model import Manifest
from tailrace.connector_kit.manifest.parts import MISSING, read_json
from tailrace.connector_kit.manifest.settings import ConnectionSettings
from tailrace.connector_kit.manifest.stage import staged
from tailrace.connector_kit.manifest.writes import Write
from tailrace.core.rows import Operation

_ROWS = 2
_HIDDEN = "..."


async def report(destination: type[Destination], *, about: str = "") -> str:
    """The part of a page that is about one destination, in Markdown; `about` is what its author says of it."""
    lines = [f"## {destination.label}", "", *([about, ""] if about else []), *_facts(destination)]
    manifest = manifest_of(destination)
    if manifest is not None:
        for at, family in enumerate(manifest.families):
            lines += ["", *([f"### {_objects(family)}", ""] if at else []), *await _family(family)]
    return "\n".join(lines) + "\n"


async def _family(manifest: Manifest) -> list[str]:
    lines = [*_limits(manifest), "", *_operations(manifest)]
    for operation in sorted(manifest.operations):
        lines += ["", f"A{_n(operation)} {operation} of {_rows(manifest.operations[operation])}:", ""]
        lines += ["```http", *[line for request in await _requests(manifest, operation) for line in request], "```"]
    return lines


def _objects(manifest: Manifest) -> str:
    known = [f"`{each.name}`" for each in manifest.objects.known]
    return ", ".join(
        [*known, *([f"`{manifest.objects.prefix}...`"] if manifest.objects.listing or manifest.objects.prefix else [])]
    )


def _facts(destination: type[Destination]) -> Iterator[str]:
    yield f"Connector `{destination.name}`, level {destination.level}. Verified against {destination.verified_against}."
    able = capabilities_of(destination)
    if able:
        yield f"Besides: {', '.join(sorted(map(_words, able)))}."
    manifest = manifest_of(destination)
    if manifest is not None:
        own = destination.settings_type.model_fields.keys() - ConnectionSettings.model_fields.keys()
        settings = ", ".join(f"`{name}`" for name in destination.settings_type.model_fields if name in own)
        waits = ", ".join(_words(each.kind) for each in manifest.throttles)
        yield f"Settings: {settings}. Waits, first that speaks: {waits}."
        yield f"Described in {manifest.docs}, looked at on {manifest.checked}."


def _limits(manifest: Manifest) -> Iterator[str]:
    yield "| limit | of | source | looked at |"
    yield "| --- | --- | --- | --- |"
    found: dict[tuple[str, str, str, str], None] = {}
    for bucket in manifest.buckets:
        found[_row(bucket, f"requests ({bucket.name})", bucket.rate)] = None
    for operation, write in sorted(manifest.operations.items()):
        for limit in (write.max_rows, write.max_size):
            found[_row(limit, f"a request ({operation})", limit.at_most)] = None
        if write.max_row_size is not None:
            found[_row(write.max_row_size, f"a row ({operation})", write.max_row_size.at_most)] = None
    yield from ("| " + " | ".join(row) + " |" for row in found)


def _row(cited: Bucket | RowLimit | SizeLimit, of: str, at_most: str) -> tuple[str, str, str, str]:
    return at_most, of, cited.source + (f" ({cited.note})" if cited.note else ""), str(cited.checked)


def _operations(manifest: Manifest) -> Iterator[str]:
    yield "| operation | key | rows that failed are told by | safe to repeat |"
    yield "| --- | --- | --- | --- |"
    for operation, write in sorted(manifest.operations.items()):
        keys = ", ".join(f"`{name}`" for name in write.key.fields) or "any unique field"
        told = _words(write.attribution.kind)
        yield f"| {operation} | {_words(write.key.kind)}: {keys} | {told} | {'yes' if write.is_idempotent else 'no'} |"


async def _requests(manifest: Manifest, operation: Operation) -> list[list[str]]:
    count = min(_ROWS, manifest.operations[operation].max_rows.rows)
    async with staged(manifest, operation) as stage:
        stage.answer(count)
        await stage.send(count)
        return [_told(request, manifest) for request in stage.vendor.writes]


def _told(request: HttpRequest, manifest: Manifest) -> list[str]:
    url = urlsplit(request.url)
    own = {name: value for name, value in request.headers.items() if name in manifest.headers}
    lines = [f"{request.method} {url.path}{'?' + url.query if url.query else ''}", f"Host: {url.netloc}"]
    lines += [
        f"{name}: {own.get(name, _HIDDEN)}"
        for name in sorted(request.headers)
        if name not in {"Accept", "Content-Type"}
    ]
    if not request.body:
        return lines
    if (document := read_json(request.body)) is MISSING:  # lines
        return [*lines, "", *request.body.decode().splitlines()]
    return [*lines, "", orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()]


def _rows(write: Write) -> str:
    return "one row" if write.max_rows.rows == 1 else "two rows"


def _n(operation: Operation) -> str:
    return "n" if operation[0] in "aeiou" else ""


def _words(kind: str) -> str:
    return kind.replace("_", " ")
