"""What models of requests have in common."""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

_YEARS = range(1970, 9000)
_DATE = re.compile(r"[0-9]{4}(-?)[0-9]{2}\1[0-9]{2}[Tt ]")


class Body(BaseModel):
    """A request body: JSON types as they are, camelCase or snake_case, nothing unknown."""

    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel, populate_by_name=True, frozen=True)

    refused: ClassVar[Mapping[str, str]] = {}
    """Members that callers know from elsewhere and must not give here, each with what to do instead."""


class Query(BaseModel):
    """The query of a URL: values are read from text, names are snake_case or camelCase, nothing unknown."""

    model_config = ConfigDict(
        extra="forbid", alias_generator=to_camel, populate_by_name=True, frozen=True, loc_by_alias=False
    )


class NoBody(Body):
    """Nothing to say."""


class NoQuery(Query):
    """Nothing to ask."""


def _written(value: object) -> object:
    """A number is no time, though pydantic would take it for seconds since 1970."""
    if not isinstance(value, str):
        return value
    if not _DATE.match(value):
        raise ValueError("must be a date and time such as 2026-01-31T12:00:00Z")
    with suppress(ValueError):
        return datetime.fromisoformat(value)
    return value


def _utc(moment: datetime) -> datetime:
    if moment.year not in _YEARS:
        raise ValueError("must be a time between the years 1970 and 9000")
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


# Behind a validator of ours a text is no JSON any more, which is all that a strict model takes a time from.
Moment = Annotated[datetime, Field(strict=False), BeforeValidator(_written), AfterValidator(_utc)]
"""A time that the store can hold; one without a zone is in UTC."""
