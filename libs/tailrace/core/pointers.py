"""JSON Pointers (RFC 6901): names for places in a JSON document."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any


def pointer(path: Sequence[str | int]) -> str:
    """The pointer of a path of member names and list indexes; the whole document is the empty string."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def path_of(text: str) -> tuple[str, ...]:
    """The path of a pointer; list indexes come as digits."""
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:])


def put(document: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the document with each value at its pointer; places that the document lacks are left out."""
    copy: dict[str, Any] = deepcopy(dict(document))
    for text, value in values.items():
        *parents, last = path_of(text)
        holder = _walk(copy, parents)
        if isinstance(holder, dict) and last in holder:
            holder[last] = value
        elif isinstance(holder, list) and last.isdecimal() and int(last) < len(holder):
            holder[int(last)] = value
    return copy


def _walk(document: object, path: Sequence[str]) -> object:
    here = document
    for part in path:
        if isinstance(here, dict):
            here = here.get(part)
        elif isinstance(here, list) and part.isdecimal() and int(part) < len(here):
            here = here[int(part)]
        else:
            return None
    return here
