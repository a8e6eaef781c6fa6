"""Keys as JSON: what a delete has to say to mean the row that an upsert wrote.

A key is kept as text. Most texts tell by themselves what was sent: a whole number was a number, anything else a
string. For the others, such as a code of digits that is text, what was sent is kept beside the key.
"""

import json
import re
from collections.abc import Iterable, Sequence
from decimal import Context, Decimal

import orjson

from tailrace.core.json_bytes import json_to_keep
from tailrace.core.rows import RowKey
from tailrace.core.snapshots import Entry

_WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,18}")
_HAS_A_CHOICE = re.compile(rb":-?[0-9]+[.eE]")
_EXACT = Context(prec=1000)


def record_of(fields: Sequence[str], values: Sequence[object]) -> bytes:
    """The JSON object that holds a key's values as they are sent.

    :raises orjson.JSONEncodeError: a value that JSON cannot hold.
    """
    return json_to_keep(dict(zip(fields, values, strict=True)))


def written(fields: Sequence[str], key: RowKey, record: bytes) -> bytes | None:
    """The record of a key as an entry keeps it: None where the key's text tells it."""
    return None if record == _told_by_text(fields, key) else record


def key_record(fields: Sequence[str], entry: Entry) -> bytes:
    """The JSON object that holds the key of an entry, its values as they were sent."""
    return _told_by_text(fields, entry.key) if entry.written is None else entry.written


def canonical(record: bytes) -> bytes:
    """One record for all whose numbers are equal, however they are written: 1, 1.0 and 1.00, -0 and 0."""
    if not _HAS_A_CHOICE.search(record):
        return record
    return json_to_keep(json.loads(record, parse_float=_shortest))


def _shortest(text: str) -> orjson.Fragment:
    number = Decimal(text).normalize(_EXACT)
    return orjson.Fragment(f"{number:f}" if number else "0")


def are_told_as_text(parts: Iterable[str]) -> bool:
    """Whether these texts, sent as they are, tell by themselves that they were no numbers."""
    return not any(map(_WHOLE_NUMBER.fullmatch, parts))


def _told_by_text(fields: Sequence[str], key: RowKey) -> bytes:
    return record_of(fields, [orjson.Fragment(part) if _WHOLE_NUMBER.fullmatch(part) else part for part in key])
