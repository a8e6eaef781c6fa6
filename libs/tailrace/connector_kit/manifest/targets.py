"""Whether a manifest can serve a target, judged before the first row is read."""

from collections.abc import Sequence

from tailrace.connector_kit.destination import Field, Target
from tailrace.connector_kit.manifest.model import Manifest
from tailrace.connector_kit.manifest.templates import Hole, Slot
from tailrace.connector_kit.manifest.writes import LookedUpKey, Write
from tailrace.core.errors import DestinationInvalid
from tailrace.core.rows import Operation

_TOLD = 50
_OF_ALL_FIELDS = frozenset({Slot.FIELDS, Slot.OTHERS, Slot.CUSTOM, Slot.IDENTITY})


def check_target(manifest: Manifest, target: Target, fields: Sequence[Field]) -> Write:
    """The operation that serves the target.

    :raises DestinationInvalid: there is none, or a field or the key is not what it takes.
    """
    write = manifest.operations.get(target.operation)
    if write is None:
        offered = ", ".join(sorted(manifest.operations))
        raise DestinationInvalid(f"{manifest.label} takes no {target.operation}; it takes {offered}")
    _check_key(manifest, target, write, fields)
    if fields and manifest.fields.are_all:
        _check_fields(target, fields)
    if manifest.hooks.row is None:
        _check_holes(manifest, target, write)
    return write


def takes_fields(write: Write, operation: Operation, key_name: str) -> bool:
    """Whether rows may have fields that the request does not name one by one; what is deleted goes by its key."""
    return operation is Operation.DELETE or any(
        hole.slot in _OF_ALL_FIELDS and hole.field is None for hole in holes_in(write, key_name)
    )


def holes_in(write: Write, key_name: str) -> frozenset[Hole]:
    """Every hole of the requests of an operation for rows with this key."""
    key = write.key
    asks = [key.ask, *([key.create] if key.create else [])] if isinstance(key, LookedUpKey) else []
    return frozenset(hole for ask in (write.ask_by(key_name), *asks) for hole in ask.all_holes)


def _check_key(manifest: Manifest, target: Target, write: Write, fields: Sequence[Field]) -> None:
    if write.appends:
        return
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


def _check_fields(target: Target, fields: Sequence[Field]) -> None:
    writable = {field.name for field in fields if field.updateable} | set(target.key_fields)
    missing = [name for name in target.fields if name not in writable]
    if missing:
        raise DestinationInvalid(
            f"{target.object_name} has no field to write to named {_told(missing)}; it has {_told(sorted(writable))}"
        )


def _check_holes(manifest: Manifest, target: Target, write: Write) -> None:
    key_name = next(iter(target.key_fields), "")
    named = {hole.field for hole in holes_in(write, key_name) if hole.field is not None}
    missing = sorted(named - set(target.fields))
    if missing:
        raise DestinationInvalid(f"the request to {manifest.label} needs these fields, map them: {_told(missing)}")
    left_out = [name for name in target.fields if name not in named and name not in target.key_fields]
    if left_out and not takes_fields(write, target.operation, key_name):
        raise DestinationInvalid(
            f"{target.object_name} takes nothing but {_told(sorted(named | set(target.key_fields)))}: do not map"
            f" {_told(left_out)}"
        )


def _told(names: Sequence[str]) -> str:
    return ", ".join(names[:_TOLD]) + (", ..." if len(names) > _TOLD else "")
