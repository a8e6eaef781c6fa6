"""What a destination takes for an object, as far as it says so."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tailrace.connector_kit.destination import Clearing, Destination, Field


@dataclass(frozen=True, slots=True)
class Accepted:
    """The fields of an object by name, none where any is taken, and what may be done to them."""

    fields: Mapping[str, Field] = field(default_factory=dict)
    are_all: bool = False
    can_leave_out: bool = True
    clearing: Clearing = Clearing.BY_NULL


ANYTHING = Accepted()
"""As if nothing were known of the destination."""


async def accepted_by(destination: Destination, object_name: str) -> Accepted:
    """What the destination takes now.

    :raises DestinationInvalid: there is no such object.
    """
    fields = {each.name: each for each in await destination.fields(object_name)}
    return Accepted(
        fields=fields,
        are_all=bool(fields) and destination.lists_all_fields,
        can_leave_out=destination.can_leave_out,
        clearing=destination.clearing,
    )
