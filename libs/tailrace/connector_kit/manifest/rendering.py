"""From rows to a request: what a row's fields become, and what the templates of a manifest make of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from tailrace.connector_kit.destination import Target
from tailrace.connector_kit.manifest.encoding import as_text
from tailrace.connector_kit.manifest.model import Manifest
from tailrace.connector_kit.manifest.writes import Ask, IdentityKey, Slot, Template
from tailrace.core.rows import Row, RowOutcome, rejected

_WHOLE = "*"


@dataclass(frozen=True, slots=True)
class Rendered:
    """A row on its way: its fields as the vendor takes them, its key, our trace id, the vendor's id if looked up.

    `identity` has the names of the fields that say which row it is: the key's, and what else the vendor knows it by.
    """

    fields: Mapping[str, object]
    key: object
    trace: str
    identity: frozenset[str]
    found: str = ""


def render(row: Row, trace: str, target: Target, manifest: Manifest) -> Rendered | RowOutcome:
    """The row as the vendor takes it, or why it cannot be sent."""
    fields: Mapping[str, object] = manifest.encoding.fields(row.body)
    try:
        if manifest.hooks.row is not None:
            fields = manifest.hooks.row(fields)
        key = fields.get(target.key_fields[0])
        if manifest.hooks.key is not None:
            key = manifest.hooks.key(as_text(key))
    except ValueError as error:
        return rejected("NOT_REPRESENTABLE", str(error))
    if manifest.encoding.key == "text":
        key = as_text(key)
    if as_text(key) == "":
        return rejected("EMPTY_KEY", f"the destination needs a value in {target.key_fields[0]}")
    return Rendered(fields, key, trace, _identity(target, manifest))


def fill(template: Template, target: Target, row: Rendered | None = None) -> object:
    """The template with its slots filled from the row."""
    match template:
        case str():
            return _slot(template, target, row)
        case Mapping():
            made: dict[str, object] = {}
            for name, value in template.items():
                filled = fill(value, target, row)
                made |= _object(filled) if name == _WHOLE else {as_text(_slot(name, target, row)): filled}
            return made
        case Sequence():
            return [fill(each, target, row) for each in template]
    return template


def body_of(ask: Ask, target: Target, rows: Sequence[Rendered]) -> object:
    """The document of a request: the rows in a list at their place, or the one row as all there is besides `body`."""
    body = _object(fill(ask.body, target, rows[0] if ask.rows_at is None else None))
    if ask.rows_at is None:
        return body | _object(fill(ask.row, target, rows[0]))
    filled = [fill(ask.row, target, each) for each in rows]
    return _put(body, ask.rows_at, filled) if ask.rows_at else filled


def path_of(ask: Ask, target: Target, rows: Sequence[Rendered]) -> str:
    """The path of a request, with what stands in braces filled in and quoted."""
    values = {"object": target.object_name, "key_name": target.key_fields[0]}
    if ask.rows_at is None:
        values |= {"key": as_text(rows[0].key), "found": rows[0].found}
    path = ask.path_by_key.get(target.key_fields[0], ask.path)
    for name, value in values.items():
        path = path.replace("{" + name + "}", quote(value, safe=""))
    return path


def _slot(text: str, target: Target, row: Rendered | None) -> object:  # noqa: PLR0911 - a slot each
    match text:
        case Slot.OBJECT:
            return target.object_name
        case Slot.KEY_NAME:
            return target.key_fields[0]
    if row is None:
        return text
    match text:
        case Slot.KEY:
            return row.key
        case Slot.FIELDS:
            return row.fields
        case Slot.OTHERS:
            return {name: value for name, value in row.fields.items() if name not in row.identity}
        case Slot.IDENTITY:
            return {name: value for name, value in row.fields.items() if name in row.identity}
        case Slot.TRACE:
            return row.trace
        case Slot.FOUND:
            return row.found
    return text


def _identity(target: Target, manifest: Manifest) -> frozenset[str]:
    shape = manifest.operations[target.operation].key
    return frozenset(target.key_fields) | frozenset(shape.fields if isinstance(shape, IdentityKey) else ())


def _object(value: object) -> dict[str, object]:
    if not isinstance(value, Mapping):
        raise TypeError("the name * of a template takes in an object, and nothing else")
    return dict(value)


def _put(body: dict[str, object], path: str, rows: list[object]) -> dict[str, object]:
    name, _, rest = path.partition(".")
    return body | {name: _put(_object(body.get(name, {})), rest, rows) if rest else rows}
