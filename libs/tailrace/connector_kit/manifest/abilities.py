"""What a destination can do besides, where its manifest says how."""

from abc import ABC
from collections.abc import Sequence

from tailrace.connector_kit.capabilities import NewField
from tailrace.connector_kit.destination import Destination, Field, Object
from tailrace.connector_kit.manifest.calls import Caller, RefusedWith
from tailrace.connector_kit.manifest.encoding import dumped
from tailrace.connector_kit.manifest.model import Manifest
from tailrace.connector_kit.manifest.parts import read_json, text_at
from tailrace.core.errors import DestinationInvalid, DestinationUnavailable, InDoubt


class WithLists(Destination, ABC):
    """Has lists that records are members of."""

    async def lists(self) -> Sequence[Object]:
        """The lists among the objects."""
        return [found for found in await self.objects() if found.has_members]


class WithNewFields(Destination, ABC):
    """Can make fields."""

    manifest: Manifest
    _caller: Caller

    async def ensure_field(self, object_name: str, field: NewField) -> Field:
        """The field, made if it was not there."""
        found = await self._found(object_name, field.name)
        if found is None:
            await self._make(object_name, field)
            found = await self._found(object_name, field.name)
        if found is None:
            raise DestinationUnavailable(f"{object_name} was given the field {field.name!r} and does not show it yet")
        return found

    async def _found(self, object_name: str, name: str) -> Field | None:
        return next((each for each in await self.fields(object_name) if each.name == name), None)

    async def _make(self, object_name: str, field: NewField) -> None:
        making = self.manifest.new_fields
        if making is None or self.manifest.family_of(object_name) != self.manifest.families[0]:
            raise DestinationInvalid(f"no field can be made for {object_name!r}")
        body = making.body_for(object_name, field)
        try:
            await self._caller.send("POST", making.path_for(object_name), dumped(body))
        except RefusedWith as refused:
            if refused.response.status in making.exists:
                return
            told = text_at(read_json(refused.response.body), making.message)
            raise DestinationInvalid(f"{self.manifest.label} does not make the field {field.name!r}: {told}") from None
        except InDoubt as error:
            raise DestinationUnavailable(error.message) from error
