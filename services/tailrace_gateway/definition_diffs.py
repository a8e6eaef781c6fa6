"""What is different between two definitions of a sync."""

from collections.abc import Iterator, Mapping
from typing import Any

from tailrace.core.pointers import pointer
from tailrace.core.syncs import SyncDefinition

_MAPPINGS = "field_mappings"


def diff(before: SyncDefinition, after: SyncDefinition) -> list[dict[str, Any]]:
    """Each place that differs, with what was there and what is; null for nothing. Mappings go by their destination."""
    return list(_differences((), _shown(before), _shown(after)))


def _shown(definition: SyncDefinition) -> dict[str, Any]:
    whole = definition.model_dump(mode="json")
    return whole | {_MAPPINGS: {mapping["destination"]: mapping for mapping in whole[_MAPPINGS]}}


def _differences(path: tuple[str, ...], before: object, after: object) -> Iterator[dict[str, Any]]:
    is_inner = path in {(), (_MAPPINGS,)}
    if is_inner and isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in dict.fromkeys([*before, *after]):
            yield from _differences((*path, name), before.get(name), after.get(name))
    elif before != after:
        yield {"pointer": pointer(path), "before": before, "after": after}
