"""From rows to a request: what a row's fields become, and what the templates of a manifest make of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from urllib.parse import quote

from tailrace.connector_kit.destination import Target
from tailrace.connector_kit.header_rules import HEADER_VALUE
from tailrace.connector_kit.manifest.encoding import as_text, dumped
from tailrace.connector_kit.manifest.model import Manifest
from tailrace.connector_kit.manifest.templates import OF_ALL_ROWS, Hole, Slot, Template, Text, parsed, pieces
from tailrace.connector_kit.manifest.writes import Ask, IdentityKey, LookedUpKey
from tailrace.core.rows import Row, RowOutcome, rejected

_BASE_32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ULID_BYTES = 16
_WHOLE = "*"
_LEADS_ELSEWHERE = frozenset({"", ".", ".."})


@dataclass(frozen=True, slots=True)
class Frame:
    """What is the same for all rows of a batch: where they go, the object's name to the vendor, the batch's id.

    `known` has the names of the fields that the manifest names, `settings` what holes of requests may be filled
    with of what the connection has set, by name.
    """

    target: Target
    object_name: str
    batch_id: str
    known: frozenset[str] = frozenset()
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def key_name(self) -> str:
        """The name of the key's field; empty where rows have none."""
        return next(iter(self.target.key_fields), "")


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
    # What is appended is known by no key; the sync may have one all the same.
    key_name = None if manifest.operations[target.operation].appends else next(iter(target.key_fields), None)
    try:
        fields: Mapping[str, object] = manifest.encoding.fields(row.body)
        if manifest.hooks.row is not None:
            fields = manifest.hooks.row(fields)
        key = None if key_name is None else fields.get(key_name)
        if manifest.hooks.key is not None and key_name is not None:
            key = manifest.hooks.key(as_text(key))
    except ValueError as error:
        return rejected("NOT_REPRESENTABLE", str(error))
    identity = _identity(target, manifest)
    if manifest.encoding.key == "text":
        key = as_text(key)
        known_by = manifest.operations[target.operation].key
        if isinstance(known_by, IdentityKey | LookedUpKey):
            told = {name: fields[name] for name in (identity | set(known_by.fields)) & fields.keys()}
            fields = {**fields, **{name: as_text(value) for name, value in told.items() if not _is_no_id(value)}}
    if key_name is not None and as_text(key) == "":
        return rejected("EMPTY_KEY", f"the destination needs a value in {key_name}")
    return Rendered(fields, key, trace, identity)


def fill(template: Template, frame: Frame, row: Rendered | None = None) -> object:
    """The template with its holes filled from the row.

    :raises ValueError: a filter does not take a value of the row.
    """
    match template:
        case str():
            found = parsed(template)
            return _filled(found, frame, row) if isinstance(found, Hole) else _text(found, frame, row)
        case Mapping():
            made: dict[str, object] = {}
            for name, value in template.items():
                filled = fill(value, frame, row)
                if name == _WHOLE:
                    made |= {each: held for each, held in _object(filled).items() if each not in template}
                else:
                    made[as_text(fill(name, frame, row))] = filled
            return made
        case Sequence():
            return [fill(each, frame, row) for each in template]
    return template


def body_of(ask: Ask, frame: Frame, rows: Sequence[Rendered]) -> bytes:
    """The body of a request: the rows in a list at their place or as lines, or the one row besides `body`.

    :raises ValueError: a filter does not take a value of a row.
    """
    if ask.rows_as == "lines":
        return b"".join(dumped(line) + b"\n" for row in rows for line in _lines(fill(ask.row, frame, row)))
    body = _object(fill(ask.body, frame, rows[0] if ask.rows_at is None else None))
    if ask.rows_at is None:
        own = _object(fill(ask.row, frame, rows[0]))
        return dumped(body | {name: value for name, value in own.items() if name not in body})
    filled = [fill(ask.row, frame, each) for each in rows]
    return dumped(_put(body, ask.rows_at, filled) if ask.rows_at else filled)


def empty_bytes(ask: Ask, frame: Frame, rows: int) -> int:
    """How large the body of so many rows would be without their fields."""
    empty = Rendered({}, "", "", frozenset())
    one = len(body_of(ask, frame, [empty]))
    return one + (len(body_of(ask, frame, [empty, empty])) - one) * (rows - 1) if ask.rows_at is not None else one


def path_of(ask: Ask, frame: Frame, rows: Sequence[Rendered]) -> str:
    """The path of a request, with what fills its holes quoted.

    :raises ValueError: a value would make the address lead elsewhere.
    """
    path = ask.path_by_key.get(frame.key_name, ask.path)
    row = rows[0] if ask.rows_at is None else None
    filled = "".join(_part(piece, frame, rows, row) if isinstance(piece, Hole) else piece for piece in pieces(path))
    if _dead_ends(filled) > _dead_ends(path):
        raise ValueError("the address would lead elsewhere: a part of it is empty, a dot or two dots")
    return filled


def headers_of(ask: Ask, frame: Frame, rows: Sequence[Rendered]) -> Mapping[str, str]:
    """The request's own headers.

    :raises ValueError: a value is nothing that a header may hold.
    """
    row = rows[0] if ask.rows_at is None else None
    headers = {name: _text(pieces(value), frame, row) for name, value in ask.headers.items()}
    unfit = [name for name, value in headers.items() if not HEADER_VALUE.fullmatch(value)]
    if unfit:
        raise ValueError(f"the header {unfit[0]} takes printable ASCII only, without spaces at its ends")
    return headers


def _part(hole: Hole, frame: Frame, rows: Sequence[Rendered], row: Rendered | None) -> str:
    """A part of an address, quoted."""
    if hole.slot not in OF_ALL_ROWS:
        return quote(as_text(_filled(hole, frame, row)), safe="")
    values = [each.key if hole.slot is Slot.ALL_KEYS else each.found for each in rows]
    return ",".join(quote(as_text(hole.through(value)), safe="") for value in values)


def _text(found: Text, frame: Frame, row: Rendered | None) -> str:
    return "".join(as_text(_filled(each, frame, row)) if isinstance(each, Hole) else each for each in found)


def _filled(hole: Hole, frame: Frame, row: Rendered | None) -> object:
    if hole.setting is not None:
        value: object = frame.settings[hole.setting]
    else:
        value = _common(hole.slot, frame) if row is None else _slot(hole, frame, row)
    return hole.through(value) if hole.filters else value


def _slot(hole: Hole, frame: Frame, row: Rendered) -> object:  # noqa: PLR0911 - a slot each
    match hole.slot:
        case Slot.FIELDS:
            return row.fields if hole.field is None else row.fields.get(hole.field)
        case Slot.KEY:
            return row.key
        case Slot.OTHERS:
            return {name: value for name, value in row.fields.items() if name not in row.identity}
        case Slot.KNOWN:
            return {name: value for name, value in row.fields.items() if name in frame.known}
        case Slot.CUSTOM:
            return {name: value for name, value in row.fields.items() if name not in frame.known | row.identity}
        case Slot.IDENTITY:
            return {name: value for name, value in row.fields.items() if name in row.identity and value is not None}
        case Slot.TRACE:
            return row.trace
        case Slot.ULID:
            return _ulid(f"{frame.batch_id} {row.trace}")
        case Slot.FOUND:
            return row.found
    return _common(hole.slot, frame)


def _common(slot: Slot, frame: Frame) -> str:
    match slot:
        case Slot.OBJECT:
            return frame.object_name
        case Slot.KEY_NAME:
            return frame.key_name
        case Slot.OPERATION:
            return frame.target.operation
        case Slot.BATCH:
            return frame.batch_id
    raise TypeError(f"{slot} stands where there is no row")


def _ulid(text: str) -> str:
    """A ULID that tells no time: the same for the same text."""
    number = int.from_bytes(blake2b(text.encode(), digest_size=_ULID_BYTES).digest())
    return "".join(_BASE_32[number >> at & 31] for at in range(125, -1, -5))


def _dead_ends(path: str) -> int:
    return sum(segment in _LEADS_ELSEWHERE for segment in path.partition("?")[0].split("/"))


def _lines(filled: object) -> Sequence[object]:
    """A row that is a list is a line for each of its parts."""
    return filled if isinstance(filled, list) else [filled]


def _identity(target: Target, manifest: Manifest) -> frozenset[str]:
    write = manifest.operations[target.operation]
    own = frozenset() if write.appends else frozenset(target.key_fields)
    return own | frozenset(write.key.fields if isinstance(write.key, IdentityKey) else ())


def _is_no_id(value: object) -> bool:
    """Whether it identifies nothing, such as a flag that stands among what does."""
    return value is None or isinstance(value, bool)


def _object(value: object) -> dict[str, object]:
    if not isinstance(value, Mapping):
        raise TypeError("the name * of a template takes in an object, and nothing else")
    return dict(value)


def _put(body: dict[str, object], path: str, rows: list[object]) -> dict[str, object]:
    name, _, rest = path.partition(".")
    return body | {name: _put(_object(body.get(name, {})), rest, rows) if rest else rows}
