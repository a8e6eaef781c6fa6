"""Files that hold what is known of a sync's rows: gzipped JSON lines, read and written a few entries at a time.

The first line is the header, the last one says how many entries stand between them. Each of those is a row, in the
order of the keys: `{"key": ["42"], "delivered": "5f0c9a1be2d34477"}`, with `dead`, `gone`, `written` and `source` where
there is more to say. Hashes are hex; one that an earlier algorithm made has the algorithm's number in front.
"""

import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, BinaryIO, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tailrace.core.errors import Invalid
from tailrace.core.rows import UNKNOWN_SOURCE, RowHash, RowKey, SourceHash
from tailrace.core.snapshots import HASH_BYTES, Entry
from tailrace.core.syncs import FieldMapping, SyncDefinition, SyncMode

ENTRIES_AT_ONCE = 1000

_CODE = "SNAPSHOT_FILE"
_LINE_LIMIT_BYTES = 1 << 20
_COMPRESSION_LEVEL = 3
_SOURCE_BYTES = 8
_ALGORITHMS = {HASH_BYTES: b"", HASH_BYTES + 1: b"\x01"}
"""What hashes begin with, by their length."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Target(_Frozen):
    """Whom and what a snapshot speaks of: it says nothing of another destination, object, key or cursor.

    `basis` is the query with its mappings where a cursor reads it: other rows could lie below its watermark.
    """

    destination_id: str
    connector: str
    object_name: str
    way: Literal["delete", "append", "write"]
    key: tuple[FieldMapping, ...]
    cursor: str | None
    basis: str | None


class Header(_Frozen):
    """What a file says of itself. `exported_at` is by the clock of the database that it came from."""

    tailrace: Literal["snapshot"] = "snapshot"
    format: Literal[1] = 1
    algorithm: Literal[2] = 2
    exported_at: datetime
    sync_id: str
    sync_name: str
    sync_version: int = Field(description="the version of the sync that ran last")
    active_run: str | None
    watermark: str | None
    target: Target


def target_of(definition: SyncDefinition, connector: str) -> Target:
    """What a snapshot that runs of the definition leave would speak of; the store forgets one of another."""
    mode, cursor = definition.sync_mode, definition.cursor
    reads_anew = cursor is not None and mode not in {SyncMode.INSERT, SyncMode.APPEND}
    mappings = [mapping.model_dump(mode="json") for mapping in definition.field_mappings]
    return Target(
        destination_id=definition.destination_id,
        connector=connector,
        object_name=definition.object_name,
        way="delete" if mode is SyncMode.DELETE else "append" if mode is SyncMode.APPEND else "write",
        key=definition.key_mappings,
        cursor=None if cursor is None else cursor.column,
        basis=orjson.dumps([definition.source_query, mappings]).decode() if reads_anew else None,
    )


class SnapshotWriter:
    """Writes a file of entries that come in the order of their keys; it is whole once it is closed.

    Everything raises Invalid where the file cannot be written.
    """

    def __init__(self, file: BinaryIO, header: Header) -> None:
        with _as_invalid():
            self._zipped = gzip.GzipFile(fileobj=file, mode="wb", compresslevel=_COMPRESSION_LEVEL, mtime=0)
        self.entries = 0
        self._write(header.model_dump_json().encode() + b"\n")

    def add(self, entries: Sequence[Entry]) -> None:
        """Append entries."""
        self._write(b"".join(map(_line, entries)))
        self.entries += len(entries)

    def close(self) -> None:
        """Write the last line; the file stays open."""
        self._write(orjson.dumps({"entries": self.entries}) + b"\n")
        with _as_invalid():
            self._zipped.close()

    def _write(self, lines: bytes) -> None:
        with _as_invalid():
            self._zipped.write(lines)


class SnapshotReader:
    """Reads a file; what is wrong with it is told at the latest at its end."""

    def __init__(self, file: BinaryIO) -> None:
        """:raises Invalid: it does not begin as such a file does, or is of a later format."""
        self._zipped = gzip.GzipFile(fileobj=file, mode="rb")
        try:
            self.header = Header.model_validate_json(self._next_line())
        except ValidationError as error:
            place = ".".join(map(str, error.errors()[0]["loc"])) or "its first line"
            raise _wrong(f"its header is none that this release knows ({place}): was it made by a later one?") from None

    def entries(self, *, key_parts: int) -> Iterator[list[Entry]]:
        """All entries, some at a time, in the order of their keys, which have so many parts.

        :raises Invalid: a line is none, out of order or missing; what was given before must not be used.
        """
        read, last = 0, RowKey(())
        some: list[Entry] = []
        while "entries" not in (told := self._told(read)):
            entry = _entry(told, read)
            if len(entry.key) != key_parts or entry.key <= last:
                raise _wrong(f"entry {read + 1} has a key of other parts, or stands out of order")
            read, last = read + 1, entry.key
            some.append(entry)
            if len(some) == ENTRIES_AT_ONCE:
                yield some
                some = []
        if told["entries"] != read or self._next_line():
            raise _wrong(f"it says to hold {told['entries']} entries and holds {read}")
        yield some

    def _told(self, read: int) -> dict[str, Any]:
        try:
            told = orjson.loads(self._next_line())
        except orjson.JSONDecodeError:
            told = None
        if not isinstance(told, dict):
            raise _wrong(f"it breaks off, or holds no JSON object, behind entry {read}")
        return told

    def _next_line(self) -> bytes:
        try:
            line = self._zipped.readline(_LINE_LIMIT_BYTES)
        except (OSError, EOFError, zlib.error):
            raise _wrong("it is not gzip, or was cut off: transfer it again") from None
        if len(line) == _LINE_LIMIT_BYTES:
            raise _wrong(f"a line is longer than {_LINE_LIMIT_BYTES} bytes")
        return line


def _line(entry: Entry) -> bytes:
    key, delivered, dead, is_gone, written, source = entry
    told: dict[str, object] = {"key": key}
    if delivered is not None:
        told["delivered"] = delivered.hex()
    if dead is not None:
        told["dead"] = dead.hex()
    if is_gone:
        told["gone"] = True
    if written is not None:
        told["written"] = written.decode()
    if source != UNKNOWN_SOURCE:
        told["source"] = source.to_bytes(_SOURCE_BYTES, signed=True).hex()
    return orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE)


def _entry(told: dict[str, Any], read: int) -> Entry:
    try:
        entry = Entry(
            key=_key(told.pop("key")),
            delivered=_hash(told.pop("delivered", None)),
            dead=_hash(told.pop("dead", None)),
            is_gone=told.pop("gone", False) is True,
            written=_written(told.pop("written", None)),
            source=_source(told.pop("source", None)),
        )
    except (KeyError, ValueError, TypeError, AttributeError):
        raise _wrong(f"entry {read + 1} is none") from None
    if told or entry.is_tombstone:
        raise _wrong(f"entry {read + 1} says nothing of a version, or more than is known here")
    return entry


def _key(told: Any) -> RowKey:  # noqa: ANN401 - foreign JSON
    if not isinstance(told, list) or not all(isinstance(part, str) and "\0" not in part for part in told):
        raise ValueError
    return RowKey(tuple(told))


def _hash(told: str | None) -> RowHash | None:
    if told is None:
        return None
    made = RowHash(bytes.fromhex(told))
    if not made.startswith(_ALGORITHMS[len(made)]):
        raise ValueError
    return made


def _written(told: str | None) -> bytes | None:
    if told is None:
        return None
    if not isinstance(orjson.loads(told), dict):
        raise ValueError  # noqa: TRY004 - whatever is wrong with a line is told alike
    return told.encode()


def _source(told: str | None) -> SourceHash:
    raw = bytes(_SOURCE_BYTES) if told is None else bytes.fromhex(told)
    if len(raw) != _SOURCE_BYTES:
        raise ValueError
    return SourceHash(int.from_bytes(raw, signed=True))


@contextmanager
def _as_invalid() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Invalid(f"the file cannot be written: {error.strerror}", code=_CODE) from error


def _wrong(what: str) -> Invalid:
    return Invalid(f"this is no snapshot to be imported: {what}", code=_CODE)
