"""What every part of a manifest is made of: frozen models that refuse unknown names, and paths into JSON."""

import re
from collections.abc import Sequence
from typing import Annotated

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict

from tailrace.core.pointers import path_of as pointed_at

MISSING = object()
"""What stands at a path that a document does not have."""

ANY = "*"
"""In a path, any position of a list."""

TEXT_LIMIT = 1000
"""Characters of a vendor's text that are kept."""

_PATH = re.compile(r"(?:[^.\s/][^.\s]*(?:\.[^.\s]+)*)?|(?:/(?:[^~/]|~[01])*)+")


class Part(BaseModel):
    """A part of a manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _is_path(text: str) -> str:
    if not _PATH.fullmatch(text):
        raise ValueError("a path is names and positions with dots between them, `errors.0.code`, or a JSON pointer")
    return text


Path = Annotated[str, AfterValidator(_is_path)]
"""Where something stands in a JSON document: `a.b.0`, or the JSON pointer `/a/b/0`; the empty path is all of it.

For a position, `*` stands for the first element of a list that has what the rest of the path leads to.
"""


def steps_of(path: str) -> Sequence[str]:
    """The names and positions of a path."""
    return pointed_at(path) if path.startswith("/") else path.split(".") if path else ()


def look_up(document: object, path: str) -> object:
    """What stands at a path, or `MISSING`."""
    return _look_up(document, steps_of(path))


def _look_up(document: object, steps: Sequence[str]) -> object:
    for at, step in enumerate(steps):
        if isinstance(document, dict):
            document = document.get(step, MISSING)
        elif isinstance(document, list) and step == ANY:
            found = (_look_up(each, steps[at + 1 :]) for each in document)
            return next((each for each in found if each is not MISSING), MISSING)
        elif isinstance(document, list) and step.isascii() and step.isdigit() and int(step) < len(document):
            document = document[int(step)]
        else:
            return MISSING
    return document


def text_at(document: object, path: str) -> str:
    """The text at a path, of a number or an object too; empty where there is nothing."""
    found = look_up(document, path)
    if found is MISSING or found is None:
        return ""
    return (found if isinstance(found, str) else orjson.dumps(found).decode())[:TEXT_LIMIT]


def list_at(document: object, path: str) -> Sequence[object] | None:
    """The list at a path, or None."""
    found = look_up(document, path)
    return found if isinstance(found, list) else None


def number_at(document: object, path: str) -> float | None:
    """The number at a path, written as number or as text, or None."""
    try:
        number = float(text_at(document, path))
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None


def read_json(body: bytes) -> object:
    """The document of an answer, or `MISSING` where it is none."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return MISSING
