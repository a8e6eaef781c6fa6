"""What an answer means as a whole, where the status alone is not the truth."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from tailrace.connector_kit.http import HttpResponse
from tailrace.connector_kit.manifest.parts import MISSING, Part, Path, look_up, read_json, text_at


class Then(StrEnum):
    """What to do with an answer."""

    READ = "read"  # it speaks of rows
    DELIVERED = "delivered"  # for every row, whatever its body
    THROTTLED = "throttled"  # nothing was applied, come back later
    LATER = "later"  # out of order, nothing was applied
    SIGN_IN = "sign_in"  # the access token is no longer good
    REFUSED = "refused"  # some row is bad and nothing was applied
    INVALID = "invalid"  # no batch will pass until somebody mends the settings
    CREDENTIALS = "credentials"  # no batch will pass with these credentials
    IN_DOUBT = "in_doubt"  # some of it may have been applied


class Condition(Part):
    """What has to stand `at` a place of an answer, if one is given: one of the texts in `holds`.

    With `exists` it is enough that something stands there, null too, or that nothing does.
    """

    at: Path | None = None
    holds: tuple[str, ...] = ()
    exists: bool | None = None

    @model_validator(mode="after")
    def _can_fit(self) -> Self:
        if (self.at is None) == bool(self.holds or self.exists is not None):
            raise ValueError("`at` is where one of the texts in `holds` stands, or what `exists` is about: give both")
        return self

    def holds_in(self, document: object) -> bool:
        """Whether it does in an answer with this document."""
        if self.at is None:
            return True
        found = look_up(document, self.at)
        if self.exists is not None:
            return self.exists is (found is not MISSING)
        texts = [text_at(each, "") for each in found] if isinstance(found, list) else [text_at(document, self.at)]
        return any(text in self.holds for text in texts)


class AnswerRule(Condition):
    """An answer of one of these statuses that meets the condition."""

    status: tuple[int, ...] = Field(min_length=1)
    then: Then

    def fits(self, response: HttpResponse, document: object) -> bool:
        """Whether the answer is one of these."""
        return response.status in self.status and self.holds_in(document)


def meaning_of(rules: Sequence[AnswerRule], response: HttpResponse) -> Then | None:
    """What the first rule that fits says; None where none does."""
    looks_into_it = any(rule.at is not None and response.status in rule.status for rule in rules)
    document = read_json(response.body) if looks_into_it else None
    return next((rule.then for rule in rules if rule.fits(response, document)), None)
