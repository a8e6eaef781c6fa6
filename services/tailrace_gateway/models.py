"""What models of requests have in common."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Body(BaseModel):
    """A request body: JSON types as they are, camelCase or snake_case, nothing unknown."""

    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel, populate_by_name=True, frozen=True)


class Query(BaseModel):
    """The query of a URL: values are read from text, names are snake_case or camelCase, nothing unknown."""

    model_config = ConfigDict(
        extra="forbid", alias_generator=to_camel, populate_by_name=True, frozen=True, loc_by_alias=False
    )


class NoBody(Body):
    """Nothing to say."""


class NoQuery(Query):
    """Nothing to ask."""
