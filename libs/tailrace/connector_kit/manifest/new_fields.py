"""How a vendor is asked to make a field."""

import re
from collections.abc import Mapping
from urllib.parse import quote

from pydantic import Field, JsonValue

from tailrace.connector_kit.capabilities import NewField
from tailrace.connector_kit.field_kinds import FieldKind
from tailrace.connector_kit.manifest.addresses import ObjectPath
from tailrace.connector_kit.manifest.parts import Part, Path
from tailrace.core.errors import DestinationInvalid


class NewFields(Part):
    """A POST whose body has the name at `name`, the label at `label`, and what stands in `kinds` and `objects`.

    `objects` has what an object wants besides, by its name; `else_object` is for the others, and `{object}` in a text
    of it is the object's name. An answer of a status in `exists` says that the field is there already.
    """

    path: ObjectPath
    name: str = "name"
    label: str = "label"
    names: str = r"[a-z][a-z0-9_]{0,99}"
    kinds: Mapping[FieldKind, Mapping[str, JsonValue]] = Field(min_length=1)
    objects: Mapping[str, Mapping[str, str]] = {}
    else_object: Mapping[str, str] = {}
    exists: tuple[int, ...] = (409,)
    message: Path = "message"

    def path_for(self, object_name: str) -> str:
        """The path for fields of an object."""
        return self.path.replace("{object}", quote(object_name, safe=""))

    def body_for(self, object_name: str, field: NewField) -> Mapping[str, object]:
        """The document that asks for the field.

        :raises DestinationInvalid: no field can have this name or hold this.
        """
        if not re.fullmatch(self.names, field.name):
            raise DestinationInvalid(f"a field cannot be named {field.name!r}: its name must be like {self.names}")
        if field.kind not in self.kinds:
            raise DestinationInvalid(f"a field cannot hold {field.kind}; it can hold {', '.join(sorted(self.kinds))}")
        more = self.objects.get(object_name, self.else_object)
        own = {name: text.replace("{object}", object_name) for name, text in more.items()}
        return {self.name: field.name, self.label: field.label or field.name, **self.kinds[field.kind], **own}
