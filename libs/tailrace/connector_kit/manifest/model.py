"""A manifest: everything that the engine needs to know of a vendor's API, in one value of one file."""

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Annotated, Self

from pydantic import Field, JsonValue, model_validator
from pydantic.json_schema import SkipJsonSchema

from tailrace.connector_kit.destination import Level
from tailrace.connector_kit.field_kinds import FieldKind
from tailrace.connector_kit.manifest.addresses import QuestionPath, Url, settings_in
from tailrace.connector_kit.manifest.answer_rules import AnswerRule
from tailrace.connector_kit.manifest.attribution import Reason
from tailrace.connector_kit.manifest.auth import AnyAuth
from tailrace.connector_kit.manifest.encoding import Encoding
from tailrace.connector_kit.manifest.limits import Bucket, Page
from tailrace.connector_kit.manifest.new_fields import NewFields
from tailrace.connector_kit.manifest.parts import Part, Path
from tailrace.connector_kit.manifest.questions import Question
from tailrace.connector_kit.manifest.settings import Setting
from tailrace.connector_kit.manifest.throttles import AnyThrottle, SaysNothing
from tailrace.connector_kit.manifest.writes import Write
from tailrace.core.rows import Operation

RowHook = Callable[[Mapping[str, object]], Mapping[str, object]]
"""Changes the fields of a row before they are encoded; raises ValueError, without the value, to refuse the row."""

HeadersHook = Callable[[Question], Mapping[str, str]]
"""More headers for a request that is about to be sent."""

KeyHook = Callable[[str], str]
"""A key as the vendor wants it, such as a hash of an address."""

_OWN = ("objects", "fields", "operations")


class Listing(Part):
    """A question whose answer has a list: objects or fields. `{object}` and settings may stand in the address.

    With `next`, the answer says where it goes on, and `cursor` is the name that the next question says it by; of an
    address, it is that parameter alone. `more` is where some answers say whether they do. With `body`, the question is
    a POST of it, and the cursor stands in it.
    """

    path: QuestionPath
    body: Mapping[str, JsonValue] | None = None
    each: Path = ""
    next: Path | None = None
    more: Path | None = None
    cursor: str = Field(default="after", pattern=r"^[A-Za-z0-9_.$\[\]-]{1,100}$")


class KnownObject(Part):
    """An object that every account has."""

    name: str
    label: str = ""


class Objects(Part):
    """What can be written to: what every account has, and what the vendor says besides; without either, any object.

    `prefix` is put before the names of those that are listed, and left out again where the vendor is told them. `where`
    has the texts that must stand at some places of a listed one.
    """

    known: tuple[KnownObject, ...] = ()
    listing: Listing | None = None
    name: Path = "name"
    label: Path = "label"
    is_writable: Path | None = None
    is_read_only: Path | None = None
    where: Mapping[Path, str] = {}
    prefix: str = Field(default="", pattern=r"^([a-z][a-z_]*:)?$")

    @property
    def are_any(self) -> bool:
        """Whether an object of any name is taken."""
        return not self.known and self.listing is None


class KnownField(Part):
    """A field that every account has.

    Where not every text is a value of it, `example` is one, with `{n}` in that of a key, which differs from row to row.
    """

    name: str
    label: str = ""
    data_type: str = "string"
    is_key: bool = False
    example: str = ""


class Fields(Part):
    """The fields of an object, and where their listing says what they are; without any, every field is taken.

    `kinds` has the words of the vendor for types that mean something else there than elsewhere.
    """

    known: tuple[KnownField, ...] = ()
    listing: Listing | None = None
    name: Path = "name"
    label: Path = "label"
    data_type: Path = "type"
    kinds: Mapping[str, FieldKind] = {}
    is_key: Path | None = None
    is_read_only: Path | None = None
    is_writable: Path | None = None
    are_all: bool = True

    @property
    def known_names(self) -> frozenset[str]:
        """The names of those that every account has."""
        return frozenset(field.name for field in self.known)


class Kind(Part):
    """Objects with fields and operations of their own: events, or the lists that records can be members of.

    What `has_members` is written to by upsert, which adds records by their key, and by delete, which takes them out.
    """

    objects: Objects
    fields: Fields = Fields()
    operations: Mapping[Operation, Write] = Field(min_length=1)
    has_members: bool = False

    @model_validator(mode="after")
    def _adds_and_removes(self) -> Self:
        if self.has_members and not {Operation.UPSERT, Operation.DELETE} <= self.operations.keys():
            raise ValueError("what has members needs an upsert that adds them and a delete that takes them out")
        return self


class Hooks(Part):
    """The three places where a manifest may call Python of its own."""

    row: SkipJsonSchema[RowHook | None] = None
    key: SkipJsonSchema[KeyHook | None] = None
    headers: SkipJsonSchema[HeadersHook | None] = None


class Manifest(Part):
    """A vendor's API; what a number rests on is cited, and `verified_against` says what it was tried with."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    label: str = Field(min_length=1)
    level: Level
    verified_against: str = Field(min_length=1)
    docs: Page
    checked: date
    base_url: Annotated[Url, Field(pattern=r"[^/]$")]
    headers: Mapping[str, str] = {}
    settings: tuple[Setting, ...] = ()
    auth: AnyAuth = Field(discriminator="kind")
    buckets: tuple[Bucket, ...] = ()
    throttles: tuple[AnyThrottle, ...] = (SaysNothing(),)
    check: QuestionPath
    objects: Objects
    fields: Fields = Fields()
    encoding: Encoding = Encoding()
    operations: Mapping[Operation, Write] = Field(min_length=1)
    kinds: tuple[Kind, ...] = ()
    new_fields: NewFields | None = None
    rules: tuple[AnswerRule, ...] = ()
    refusal: Reason = Reason()
    hooks: Hooks = Hooks()

    @property
    def all_settings(self) -> tuple[Setting, ...]:
        """What a user fills in: the manifest's own settings and those of its credentials."""
        return (*self.settings, *self.auth.settings)

    @property
    def settings_of_requests(self) -> frozenset[str]:
        """The names of the settings that fill holes of requests for rows."""
        writes = [write for family in self.families for write in family.operations.values()]
        holes = [hole for write in writes for hole in write.holes_of_requests]
        return frozenset(hole.setting for hole in holes if hole.setting is not None)

    @property
    def families(self) -> tuple["Manifest", ...]:
        """The manifest as it is for each kind of objects, its own first."""
        own = self.model_copy(update={"kinds": ()})
        return (own, *(own.model_copy(update={name: getattr(kind, name) for name in _OWN}) for kind in self.kinds))

    def family_of(self, object_name: str) -> "Manifest":
        """The manifest as it is for this object."""
        own, *others = self.families
        return next((each for each in others if _has(each.objects, object_name)), own)

    @model_validator(mode="after")
    def _tells_its_kinds_apart(self) -> Self:
        unmarked = [kind for kind in self.kinds if not kind.objects.prefix and not _is_known(kind.objects)]
        if unmarked:
            raise ValueError("the objects of a kind that are not all known need a prefix, such as `list:`")
        return self

    @model_validator(mode="after")
    def _names_its_buckets(self) -> Self:
        names = {bucket.name for bucket in self.buckets}
        operations = [self.operations, *(kind.operations for kind in self.kinds)]
        writes = [write for each in operations for write in each.values()]
        missing = sorted({write.bucket for write in writes if write.bucket} - names)
        if missing:
            raise ValueError(f"an operation names a bucket that there is not: {', '.join(missing)}")
        return self

    @model_validator(mode="after")
    def _names_its_settings(self) -> Self:
        names = {setting.name for setting in self.all_settings}
        secrets = {setting.name for setting in self.all_settings if setting.secret}
        for place, text in self._texts_of_settings():
            if missing := sorted(settings_in(text) - names):
                raise ValueError(f"{place} names a setting that there is not: {', '.join(missing)}")
            if shown := sorted(settings_in(text) & secrets):
                raise ValueError(f"{place} would show a secret: {', '.join(shown)}")
        told = self.settings_of_requests
        if missing := sorted(told - names):
            raise ValueError(f"a request names a setting that there is not: {', '.join(missing)}")
        if shown := sorted(told & secrets):
            raise ValueError(f"a request would show a secret: {', '.join(shown)}")
        return self

    def _texts_of_settings(self) -> Iterator[tuple[str, str]]:
        """The texts in which settings may stand, and where they are."""
        yield from (("base_url", self.base_url), ("check", self.check))
        yield from ((f"auth.{name}", text) for name, text in self.auth.texts.items())
        for family in self.families:
            for place, listing in (("objects", family.objects.listing), ("fields", family.fields.listing)):
                if listing is not None:
                    yield f"{place}.listing.path", listing.path.replace("{object}", "")


def _has(objects: Objects, name: str) -> bool:
    is_listed = objects.prefix != "" and name.startswith(objects.prefix)
    return is_listed or any(known.name == name for known in objects.known)


def _is_known(objects: Objects) -> bool:
    return objects.listing is None and bool(objects.known)
