"""What of a changed schema would break somebody who speaks the old one."""

from collections.abc import Iterator, Mapping
from typing import Any

Json = Mapping[str, Any]

_WORDS_ONLY = {"description", "title", "default", "examples", "$comment"}
_UPPER_BOUNDS = {"maxLength", "maxItems", "maximum"}


def breaking_changes(old: Json, new: Json, *, is_received: bool) -> list[str]:
    """One line for each.

    A schema of what others send us may only grow wider, one of what we send only narrower; fields are added, never
    taken away.
    """
    return [*_of_fields(old, new, is_received=is_received), *_of_required(old, new, is_received=is_received)]


def _of_fields(old: Json, new: Json, *, is_received: bool) -> Iterator[str]:
    for name, before in old["properties"].items():
        after = new["properties"].get(name)
        if after is None:
            yield f"{name}: taken away"
        elif not (_fits(before, into=after) if is_received else _fits(after, into=before)):
            yield f"{name}: {dict(before)} became {dict(after)}"


def _of_required(old: Json, new: Json, *, is_received: bool) -> Iterator[str]:
    before, after = set(old.get("required", ())), set(new.get("required", ()))
    for name in sorted(after - before if is_received else before - after):
        yield f"{name}: {'required now' if is_received else 'no longer always there'}"


def _fits(value: Json, *, into: Json) -> bool:
    """Whether all that the one schema allows, the other allows too, as far as our schemas go."""
    words = (value.keys() | into.keys()) - _WORDS_ONLY
    return all(_word_fits(word, value.get(word), into.get(word)) for word in words)


def _word_fits(word: str, value: Any, into: Any) -> bool:  # noqa: ANN401 - whatever JSON Schema holds
    if word in _UPPER_BOUNDS:
        return into is None or (value is not None and value <= into)
    if word == "enum":
        return into is None or (value is not None and set(value) <= set(into))
    if word == "anyOf":
        return all(choice in (into or ()) for choice in value or ())
    return bool(value == into)
