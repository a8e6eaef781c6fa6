"""The envelopes of answers, as models that describe and check them; the views make them."""

from typing import Annotated, Any, Generic, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

_SECONDS = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"

Seconds = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time", "pattern": _SECONDS})]
Count = Annotated[int, Field(ge=0)]
RunWord = Literal["queued", "running", "succeeded", "failed", "cancelled"]

KindT = TypeVar("KindT")
AttributesT = TypeVar("AttributesT", bound=BaseModel)
ThingT = TypeVar("ThingT", bound=BaseModel)
_Parameters: TypeAlias = tuple[Any, ...]


class Told(BaseModel):
    """A part of an answer; more may be added to it."""

    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=False)


class Unnamed(Told, Generic[KindT, AttributesT]):
    """A thing that has no id."""

    type: KindT
    attributes: AttributesT

    @classmethod
    def model_parametrized_name(cls, params: _Parameters) -> str:
        """Named by its attributes."""
        return str(params[-1].__name__).removesuffix("Attributes")


class Item(Unnamed[KindT, AttributesT], Generic[KindT, AttributesT]):
    """A thing in its envelope."""

    id: str


class One(Told, Generic[ThingT]):
    """An answer that holds one thing."""

    data: ThingT

    @classmethod
    def model_parametrized_name(cls, params: _Parameters) -> str:
        """Named by its thing."""
        return f"One{params[0].__name__}"


class Many(Told, Generic[ThingT]):
    """An answer that holds all things of a kind."""

    data: list[ThingT]

    @classmethod
    def model_parametrized_name(cls, params: _Parameters) -> str:
        """Named by its things."""
        return f"{params[0].__name__}List"


class PageMark(Told):
    """Where a page stands: `cursor` gives the next one, null on the last."""

    limit: Annotated[int, Field(ge=1)]
    cursor: str | None


class PageMeta(Told):
    """What goes with a page."""

    page: PageMark


class Page(Told, Generic[ThingT]):
    """An answer that holds a page of things."""

    data: list[ThingT]
    meta: PageMeta

    @classmethod
    def model_parametrized_name(cls, params: _Parameters) -> str:
        """Named by its things."""
        return f"{params[0].__name__}Page"


class ProblemFault(Told):
    """One thing that is wrong: at a JSON Pointer into the body, or at a parameter of the URL."""

    pointer: str | None = None
    parameter: str | None = None
    code: str
    detail: str


class ProblemDocument(Told):
    """What went wrong and what to do about it (RFC 9457); `error` and `message` repeat `detail`."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: Annotated[str, Field(description="Stable, in capitals.")]
    error: str
    message: str
    existing_id: Annotated[str | None, Field(description="What is in the way.")] = None
    existing_job_id: Annotated[str | None, Field(description="The same where it is a run.")] = None
    errors: list[ProblemFault] = []
    details: dict[str, str] = {}
