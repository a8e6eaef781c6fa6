"""What may be done to a value on its way from a column to a field: casts, hashes, what becomes of NULL."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

TEMPLATE_LIMIT = 4096
"""Characters of a template."""


class Cast(StrEnum):
    """What a value is made before it is sent."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "datetime"
    JSON = "json"


class OnNull(StrEnum):
    """What becomes of a field without a value."""

    SEND = "send"  # NULL is sent
    SKIP = "skip"  # the field is left out, and keeps what the destination has
    CLEAR = "clear"  # the destination is asked to empty it, in its own way


class OnTypeMismatch(StrEnum):
    """What becomes of a row with a value that its field cannot take."""

    REJECT_ROW = "reject_row"
    SEND_NULL = "send_null"
    FAIL_RUN = "fail_run"
    SEND_AS_IS = "send_as_is"  # nothing is fitted to the fields: the destination decides


class Platform(StrEnum):
    """Whose rules normalise a value before it is hashed."""

    GOOGLE = "google"
    META = "meta"


class HashKind(StrEnum):
    """What is hashed."""

    TEXT = "text"
    EMAIL = "email"
    PHONE = "phone"
    FIRST_NAME = "first_name"
    LAST_NAME = "last_name"
    STREET_ADDRESS = "street_address"
    DATE_OF_BIRTH = "date_of_birth"
    GENDER = "gender"
    CITY = "city"
    STATE = "state"
    ZIP = "zip"
    COUNTRY = "country"
    EXTERNAL_ID = "external_id"


_OF_BOTH = {HashKind.EMAIL, HashKind.PHONE, HashKind.FIRST_NAME, HashKind.LAST_NAME}
HASHED_BY: Mapping[Platform, frozenset[HashKind]] = {
    Platform.GOOGLE: frozenset({*_OF_BOTH, HashKind.STREET_ADDRESS}),
    Platform.META: frozenset(HashKind) - {HashKind.TEXT, HashKind.STREET_ADDRESS},
}
"""What a platform takes hashed; the rest it takes in clear, or not at all."""


class Hash(BaseModel):
    """SHA-256 in small hexadecimal digits, of a value after a platform's rules; of text as it is without a platform.

    `region` is the country, such as CH, of phone numbers that do not begin with + and a country's code.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: HashKind = HashKind.TEXT
    platform: Platform | None = None
    region: str | None = Field(default=None, pattern=r"^[A-Z]{2}$")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.kind is HashKind.TEXT) != (self.platform is None):
            raise ValueError("kind text goes without a platform, every other kind needs one: google or meta")
        if self.platform is not None and self.kind not in HASHED_BY[self.platform]:
            kinds = ", ".join(sorted(HASHED_BY[self.platform]))
            raise ValueError(
                f"{self.platform} does not take {self.kind} hashed: leave hash out, or give one of {kinds}"
            )
        if self.region is not None and self.kind is not HashKind.PHONE:
            raise ValueError("region goes with the kind phone alone")
        return self
