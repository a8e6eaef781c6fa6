"""What a field of a destination holds, in one vocabulary for all vendors."""

import re
from collections.abc import Mapping
from enum import StrEnum


class FieldKind(StrEnum):
    """What values a field takes. `ANY` is where the destination does not say, or says what nobody else does."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    TIME = "time"
    TIMESTAMP = "timestamp"
    LIST = "list"
    OBJECT = "object"
    ANY = "any"


_WORDS: Mapping[FieldKind, str] = {
    FieldKind.TEXT: "text string str varchar character bpchar char name citext uuid id reference picklist combobox"
    " enumeration enum textarea phone phone_number url email encryptedstring",
    FieldKind.INTEGER: "integer int long smallint bigint",
    FieldKind.NUMBER: "number numeric decimal double float real currency percent",
    FieldKind.BOOLEAN: "boolean bool",
    FieldKind.DATE: "date",
    FieldKind.TIME: "time",
    FieldKind.TIMESTAMP: "timestamp datetime date-time timestamptz",
    FieldKind.LIST: "list array",
    FieldKind.OBJECT: "object json jsonb geo_location location address",
}
_KINDS = {word: kind for kind, words in _WORDS.items() for word in words.split()}
_MORE = re.compile(r"\([^()]*\)|\b(varying|precision|with|without|zone)\b|\btime\b(?= zone)")


def field_kind(data_type: str, more: Mapping[str, FieldKind] | None = None) -> FieldKind:
    """The kind that a vendor's word for a type stands for; `more` has words that mean something else to that vendor."""
    if more and data_type in more:
        return more[data_type]
    if data_type.endswith("[]"):
        return FieldKind.LIST
    return _KINDS.get(" ".join(_MORE.sub(" ", data_type.lower()).split()), FieldKind.ANY)
