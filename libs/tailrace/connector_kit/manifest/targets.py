"""Whether a manifest can serve a target, judged before the first row is read."""

from collections.abc import Sequence

from tailrace.connector_kit.destination import Field, Target
from tailrace.connector_kit.manifest.model import Manifest
from tailrace.connector_kit.manifest.writes import Write
from tailrace.core.errors import DestinationInvalid

_TOLD = 50


def check_target(manifest: Manifest, target: Target, fields: Sequence[Field]) -> Write:
    """The operation that serves the target.

    :raises DestinationInvalid: there is none, or a field or the key is not what it takes.
    """
    write = manifest.operations.get(target.operation)
    if write is None:
        offered = ", ".join(sorted(manifest.operations))
        raise DestinationInvalid(f"{manifest.label} takes no {target.operation}; it takes {offered}")
    if len(target.key_fields) != 1:
        raise DestinationInvalid(
            f"{manifest.label} knows rows by one field: give one key, not {len(target.key_fields)}"
        )
    key = target.key_fields[0]
    offered_keys = write.key.fields or tuple(field.name for field in fields if field.external_id)
    if offered_keys and key not in offered_keys:
        raise DestinationInvalid(
            f"{key!r} identifies no {target.object_name}; one of these does: {_told(offered_keys)}"
        )
    if fields and manifest.fields.are_all:
        _check_fields(target, fields, key)
    return write


def _check_fields(target: Target, fields: Sequence[Field], key: str) -> None:
    writable = {field.name for field in fields if field.updateable} | {key}
    missing = [name for name in target.fields if name not in writable]
    if missing:
        raise DestinationInvalid(
            f"{target.object_name} has no field to write to named {_told(missing)}; it has {_told(sorted(writable))}"
        )


def _told(names: Sequence[str]) -> str:
    return ", ".join(names[:_TOLD]) + (", ..." if len(names) > _TOLD else "")
