"""Which column may be meant for which field: by their names, as far as their kinds can fit."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tailrace.connector_kit.destination import Field
from tailrace.core.rows import Column
from tailrace.mapping.fits import needed, never_fits

LEAST_SCORE = 0.55
"""Names that are less alike are not suggested."""

_COMPARED_LIMIT = 1000
_CONVERSION_COSTS = 0.05
_READ_ONLY_COSTS = 0.3
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_a-zA-Z]+")
_CUSTOM = re.compile(r"__(c|pc|e)$")
_SHORT_FORMS = {
    "address": "addr",
    "amount": "amt",
    "birthdate": "dob dateofbirth birthday",
    "company": "org organisation organization",
    "email": "mail emailaddress",
    "firstname": "givenname forename",
    "lastname": "surname familyname",
    "number": "num",
    "phone": "tel telephone mobile phonenumber",
    "quantity": "qty",
    "zip": "postcode postalcode",
}
_MEANS = {form: word for word, forms in _SHORT_FORMS.items() for form in forms.split()}


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A column for a field. `score` is 1 for the same name; `is_converted` tells that values may not fit."""

    source: str
    destination: str
    score: float
    is_converted: bool


def suggest(columns: Sequence[Column], fields: Sequence[Field]) -> list[Suggestion]:
    """At most one column for each field and one field for each column, the most alike first."""
    taken: set[tuple[str, str]] = set()
    found: list[Suggestion] = []
    # Ties go by name, so that the same columns and fields give the same answer.
    for each in sorted(_alike(columns, fields), key=lambda each: (-each.score, each.source, each.destination)):
        ends = {("source", each.source), ("destination", each.destination)}
        if not ends & taken:
            taken |= ends
            found.append(each)
    return found


def _alike(columns: Sequence[Column], fields: Sequence[Field]) -> Iterator[Suggestion]:
    named = [(field, {_Name.of(field.name), _Name.of(field.label)}) for field in fields[:_COMPARED_LIMIT]]
    for column in columns[:_COMPARED_LIMIT]:
        name = _Name.of(column.name)
        for field, names in named:
            score = max(name.likeness(each) for each in names)
            if score < LEAST_SCORE or never_fits(column.kind, field.kind):
                continue
            is_converted = needed(column.kind, field.kind) is not None
            score -= _CONVERSION_COSTS * is_converted + _READ_ONLY_COSTS * (not field.updateable)
            if score >= LEAST_SCORE:
                yield Suggestion(column.name, field.name, round(score, 2), is_converted)


@dataclass(frozen=True, slots=True)
class _Name:
    """A name without what differs by habit alone: case, dashes, the suffix of custom fields, short forms."""

    text: str
    pairs: frozenset[str]

    @classmethod
    def of(cls, name: str) -> "_Name":
        words = [word.lower() for word in _WORDS.findall(_CUSTOM.sub("", name))]
        together = "".join(words)
        text = together if together in _SHORT_FORMS else "".join(_MEANS.get(word, word) for word in words)
        text = _MEANS.get(together, text)
        return cls(text, frozenset(text[at : at + 2] for at in range(len(text) - 1)))

    def likeness(self, other: "_Name") -> float:
        """From 0 to 1, by the pairs of letters that both have (Dice)."""
        if self.text == other.text:
            return 1.0 if self.text else 0.0
        both = len(self.pairs) + len(other.pairs)
        return 2 * len(self.pairs & other.pairs) / both if both else 0.0
