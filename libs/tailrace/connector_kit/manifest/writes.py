"""How an operation is asked for: address, body, rows, key, limits, and how the answer is read."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tailrace.connector_kit.header_rules import OWN_HEADERS, check_header_names
from tailrace.connector_kit.manifest.addresses import TemplatePath
from tailrace.connector_kit.manifest.answer_rules import AnswerRule
from tailrace.connector_kit.manifest.attribution import AnyAttribution, Counted, Immediate, Job, Single
from tailrace.connector_kit.manifest.limits import RowLimit, SizeLimit
from tailrace.connector_kit.manifest.parts import Part, Path
from tailrace.connector_kit.manifest.templates import (
    OF_ALL_ROWS,
    OF_THE_BATCH,
    REFUSING,
    Hole,
    Slot,
    Template,
    holes,
    holes_of,
)

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

_OF_A_KEY = frozenset({Slot.KEY, Slot.KEY_NAME, Slot.FOUND, Slot.ALL_KEYS, Slot.ALL_FOUND})
_WITHOUT_BODY = frozenset({"GET", "DELETE"})
_SPLIT = frozenset({Slot.KNOWN, Slot.CUSTOM})
_TAKEN = OWN_HEADERS - {"idempotency-key"}


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

    Holes may stand in path, headers and body: those for a row where the request is for one row. `path_by_key` has the
    paths of keys that have their own. With `rows_as` of `lines`, the body is a line of JSON for each row, and a row
    that is a list is a line for each of its parts. A GET has no body, and a DELETE none unless `deletes_by_body`.
    """

    method: Method = "POST"
    path: TemplatePath
    path_by_key: dict[str, TemplatePath] = Field(default_factory=dict)
    headers: dict[str, str] = Field(default_factory=dict)
    body: dict[str, Template] = Field(default_factory=dict)
    rows_at: Path | None = None
    rows_as: Literal["list", "lines"] = "list"
    row: Template = Slot.FIELDS
    deletes_by_body: bool = False

    @model_validator(mode="after")
    def _has_holes_that_can_be_filled(self) -> Self:
        check_header_names(list(self.headers), taken=_TAKEN)
        if self.rows_as == "lines" and (self.rows_at != "" or self.body):
            raise ValueError("lines are the whole body: give rows_at as an empty text, and no body")
        if self.deletes_by_body and self.method != "DELETE":
            raise ValueError(f"deletes_by_body is for the method DELETE: a {self.method} has a body or none as it is")
        outside = {hole.slot for hole in (*self._in_words(), *_located("body", holes(self.body)))}
        inside = {hole.slot for hole in _located("row", holes(self.row))}
        if OF_ALL_ROWS & (inside | {hole.slot for hole in holes(self.body)}):
            raise ValueError(f"{', '.join(sorted(OF_ALL_ROWS))} may stand in the address alone")
        if self.rows_at is not None and outside - OF_THE_BATCH:
            told = ", ".join(sorted(outside - OF_THE_BATCH))
            raise ValueError(
                f"outside of `row` a request for several rows has no {told}: leave rows_at out for one row"
            )
        return self

    @property
    def all_holes(self) -> frozenset[Hole]:
        """Every hole of the request."""
        return frozenset((*self._in_words(), *holes(self.body), *holes(self.row)))

    @property
    def has_body(self) -> bool:
        """Whether the request is sent with a body."""
        return self.method not in _WITHOUT_BODY or self.deletes_by_body

    @property
    def may_refuse(self) -> bool:
        """Whether there are values that the templates do not take."""
        is_of_a_row = any(hole.slot not in OF_THE_BATCH for hole in self._in_words())
        return is_of_a_row or any(REFUSING.intersection(hole.filters) for hole in self.all_holes)

    def _in_words(self) -> Iterator[Hole]:
        """The holes of address and headers."""
        for place, text in (
            ("path", self.path),
            *((f"path_by_key.{name}", path) for name, path in self.path_by_key.items()),
            *((f"headers.{name}", value) for name, value in self.headers.items()),
        ):
            yield from _located(place, holes_of(text))


class LookedUpKey(Part):
    """The vendor takes only its own ids: `ask` for those of the keys, then write.

    Each found entry at `each` has the id at `id` and the key at `key`, in which `{key_name}` may stand; with `fold`, a
    vendor may give it back in small letters, but for those of the fields in `exact`. An upsert of one row a request
    makes what is not there by `create`.

    A key that is not among them is taken for one that is not there, so the answer must be whole: true stands at
    `whole`, and no error at `errors` has another code than those of `absent`.
    """

    kind: Literal["looked_up"] = "looked_up"
    fields: tuple[str, ...] = ()
    ask: Ask
    each: Path
    id: Path
    key: Path
    fold: Literal["lower", "as_it_is"] = "as_it_is"
    exact: tuple[str, ...] = ()
    whole: Path | None = None
    errors: Path | None = None
    code: Path = "code"
    absent: tuple[str, ...] = ()
    create: Ask | None = None


KeyShape = Annotated[NamedKey | PathKey | IdentityKey | LookedUpKey, Field(discriminator="kind")]
"""One of the four shapes of an upsert's key."""


class Write(Ask):
    """One operation. `is_idempotent` says whether the same request may come twice without harm.

    Its own `rules` about answers come before those of the manifest. `bucket` names the one that its requests count in;
    without, it is the quickest. What `appends` takes every row as a new one, such as an event, by the mode append; a
    key is not needed then, and is not sent as one. `by_key` has the requests of keys that have their own; limits and
    answers are the same.
    """

    key: KeyShape = NamedKey()
    by_key: dict[str, Ask] = Field(default_factory=dict)
    max_rows: RowLimit
    max_size: SizeLimit
    max_row_size: SizeLimit | None = None
    is_idempotent: bool
    attribution: AnyAttribution
    rules: tuple[AnswerRule, ...] = ()
    bucket: str | None = None
    appends: bool = False

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if any(ask.rows_at is None for ask in self._asks) and self.max_rows.rows > 1:
            raise ValueError("several rows need a place in the body: give rows_at, or max_rows of `1 rows`")
        if isinstance(self.attribution, Single) and self.max_rows.rows > 1:
            raise ValueError("the attribution `single` is for one row a request: max_rows must be `1 rows`")
        if isinstance(self.read, Counted) and not self.is_idempotent:
            raise ValueError("the attribution `counted` sends rows again to find the bad one: is_idempotent must hold")
        if "{key}" in self.path and self.max_rows.rows > 1:
            raise ValueError("a key in the address is for one row a request: max_rows must be `1 rows`")
        if self.appends and (self.by_key or any(hole.slot in _OF_A_KEY for hole in self.all_holes)):
            raise ValueError("what is appended has no key: name a field, such as $fields.id")
        lost = [name for ask in self._asks for name in self._lost_fields(ask)]
        if lost:
            raise ValueError(f"$others leaves {', '.join(lost)} out: write $identity, or $fields.{lost[0]}")
        if len({hole.slot for hole in self.all_holes} & _SPLIT) == 1:
            raise ValueError("$known and $custom are the two halves of the fields: write both")
        if isinstance(self.key, LookedUpKey) and self.key.create is not None and self.max_rows.rows > 1:
            raise ValueError("what is not there is made one by one: max_rows must be `1 rows`")
        return self

    def ask_by(self, key_name: str) -> Ask:
        """The request for rows that this field is the key of."""
        return self.by_key.get(key_name, self)

    @property
    def holes_of_requests(self) -> frozenset[Hole]:
        """Every hole of every request, those for ids too."""
        key = self.key
        others = [key.ask, *([key.create] if key.create else [])] if isinstance(key, LookedUpKey) else []
        return frozenset(hole for ask in (*self._asks, *others) for hole in ask.all_holes)

    @property
    def _asks(self) -> Sequence[Ask]:
        return (self, *self.by_key.values())

    def _lost_fields(self, ask: Ask) -> Sequence[str]:
        """Fields of an identity that would be sent nowhere in a request that takes all other fields."""
        slots, named = {hole.slot for hole in ask.all_holes}, {hole.field for hole in ask.all_holes}
        if not isinstance(self.key, IdentityKey) or Slot.OTHERS not in slots or Slot.IDENTITY in slots:
            return []
        is_one = Slot.KEY in slots and len(self.key.fields) == 1
        return [] if is_one else [name for name in self.key.fields if name not in named]

    @property
    def read(self) -> Immediate:
        """How the answer, or that of the job behind it, says which rows failed."""
        return self.attribution.read if isinstance(self.attribution, Job) else self.attribution


def _located(place: str, found: Iterable[Hole]) -> list[Hole]:
    try:
        return list(found)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
