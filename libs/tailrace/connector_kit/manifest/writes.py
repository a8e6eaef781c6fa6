"""How an operation is asked for: address, body, rows, key, limits, and how the answer is read."""

from enum import StrEnum
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, JsonValue, model_validator

from tailrace.connector_kit.manifest.answer_rules import AnswerRule
from tailrace.connector_kit.manifest.attribution import AnyAttribution, Counted, Immediate, Job, Single
from tailrace.connector_kit.manifest.limits import RowLimit, SizeLimit
from tailrace.connector_kit.manifest.parts import Part, Path

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Template: TypeAlias = JsonValue
"""JSON in which a text that is a `Slot` stands for what the row holds. The name `*` takes in a whole object."""


class Slot(StrEnum):
    """What a template may leave open, as value or as name."""

    KEY = "$key"  # the key's value
    KEY_NAME = "$key_name"  # the name of the key's field
    FIELDS = "$fields"  # every mapped field
    OTHERS = "$others"  # every mapped field but the key, or but the fields of an identity
    IDENTITY = "$identity"  # the mapped fields of an identity, the key among them
    TRACE = "$trace"  # an id of ours for the row
    FOUND = "$found"  # the vendor's own id, looked up by the key
    OBJECT = "$object"  # the object's name


class NamedKey(Part):
    """One unique field, which the request names; any that is unique, or one of `fields`."""

    kind: Literal["named"] = "named"
    fields: tuple[str, ...] = ()


class PathKey(Part):
    """The key, or the name of its field, stands in the address: `{key}`, `{key_name}`."""

    kind: Literal["path"] = "path"
    fields: tuple[str, ...] = ()


class IdentityKey(Part):
    """The vendor knows rows by one of these fields and no other."""

    kind: Literal["identity"] = "identity"
    fields: tuple[str, ...] = Field(min_length=1)


class Ask(Part):
    """A request. With `rows_at`, rows stand in a list there; without, the one row is the body.

    `{object}` and `{key_name}` may stand in the path, and for one row `{key}` and `{found}`. `path_by_key` has the
    paths of keys that have their own.
    """

    method: Method = "POST"
    path: str = Field(pattern=r"/.*")
    path_by_key: dict[str, Annotated[str, Field(pattern=r"/.*")]] = Field(default_factory=dict)
    body: dict[str, Template] = Field(default_factory=dict)
    rows_at: Path | None = None
    row: Template = Slot.FIELDS


class LookedUpKey(Part):
    """The vendor takes only its own ids: `ask` for those of the keys, then write.

    Each found entry at `each` has the id at `id` and the key at `key`, in which `{key_name}` may stand; with `fold`, a
    vendor may give it back in small letters. An upsert of one row a request makes what is not there by `create`.
    """

    kind: Literal["looked_up"] = "looked_up"
    fields: tuple[str, ...] = ()
    ask: Ask
    each: Path
    id: Path
    key: str
    fold: Literal["lower", "as_it_is"] = "as_it_is"
    create: Ask | None = None


KeyShape = Annotated[NamedKey | PathKey | IdentityKey | LookedUpKey, Field(discriminator="kind")]
"""One of the four shapes of an upsert's key."""


class Write(Ask):
    """One operation. `is_idempotent` says whether the same request may come twice without harm.

    Its own `rules` about answers come before those of the manifest. `bucket` names the one that its requests count in;
    without, it is the quickest.
    """

    key: KeyShape = NamedKey()
    max_rows: RowLimit
    max_size: SizeLimit
    max_row_size: SizeLimit | None = None
    is_idempotent: bool
    attribution: AnyAttribution
    rules: tuple[AnswerRule, ...] = ()
    bucket: str | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.rows_at is None and self.max_rows.rows > 1:
            raise ValueError("several rows need a place in the body: give rows_at, or max_rows of `1 rows`")
        if isinstance(self.attribution, Single) and self.max_rows.rows > 1:
            raise ValueError("the attribution `single` is for one row a request: max_rows must be `1 rows`")
        if isinstance(self.read, Counted) and not self.is_idempotent:
            raise ValueError("the attribution `counted` sends rows again to find the bad one: is_idempotent must hold")
        if "{key}" in self.path and self.max_rows.rows > 1:
            raise ValueError("a key in the address is for one row a request: max_rows must be `1 rows`")
        if isinstance(self.key, LookedUpKey) and self.key.create is not None and self.max_rows.rows > 1:
            raise ValueError("what is not there is made one by one: max_rows must be `1 rows`")
        return self

    @property
    def read(self) -> Immediate:
        """How the answer, or that of the job behind it, says which rows failed."""
        return self.attribution.read if isinstance(self.attribution, Job) else self.attribution
