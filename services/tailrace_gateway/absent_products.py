"""RudderStack's contract: products that Tailrace has none of.

Its command line looks at all of them before it applies a project; where one list is missing it applies nothing.
"""

from typing import Annotated, Literal

from pydantic import Field

from tailrace.store.tokens import Role
from tailrace_gateway.calls import Answer, Call, Route
from tailrace_gateway.envelopes import Told
from tailrace_gateway.models import NoBody, Query

_NOUNS = {
    "/v2/catalog/categories": "categories",
    "/v2/catalog/custom-types": "custom types",
    "/v2/catalog/events": "events",
    "/v2/catalog/properties": "properties",
    "/v2/catalog/tracking-plans": "tracking plans",
    "/v2/data-graphs": "data graphs",
    "/v2/event-stream-sources": "event stream sources",
    "/libraries": "libraries",
    "/transformations": "transformations",
}


class AbsentQuery(Query):
    """What the command line asks; nothing of it matters."""

    has_external_id: bool | None = None
    page: Annotated[int, Field(ge=1)] = 1
    page_size: Annotated[int, Field(ge=1, le=1000)] = 100


class AbsentPaging(Told):
    """There are none."""

    total: Literal[0]


class AbsentThings(Told):
    """None of them."""

    data: Annotated[list[str], Field(max_length=0)]
    total: Literal[0]
    paging: AbsentPaging


async def list_none(_call: Call[NoBody, AbsentQuery]) -> Answer:
    """There are none: Tailrace has no such thing."""
    return Answer({"data": [], "total": 0, "paging": {"total": 0}})


ABSENT_PRODUCTS = tuple(
    Route(
        "GET",
        path,
        Role.VIEWER,
        list_none,
        f"List {noun}, of which there are none",
        operation_id=f"list{noun.title().replace(' ', '')}",
        answer=AbsentThings,
        query=AbsentQuery,
        prefixes=("",),
    )
    for path, noun in _NOUNS.items()
)
ABSENT_EXAMPLES = {route.operation_id: {"data": [], "total": 0, "paging": {"total": 0}} for route in ABSENT_PRODUCTS}
