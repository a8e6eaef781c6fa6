"""Listings that go on behind the last thing seen, by a cursor."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

from tailrace_gateway.calls import AnyCall
from tailrace_gateway.paging import After, Listing, PagedQuery
from tailrace_gateway.wire import Item, page

_ThingT = TypeVar("_ThingT")
_FoundT_co = TypeVar("_FoundT_co", covariant=True)


class Find(Protocol[_FoundT_co]):
    """Gives what stands behind a place, in the order of the listing."""

    def __call__(self, *, after: After | None, limit: int) -> Awaitable[Sequence[_FoundT_co]]: ...


async def paged(
    call: AnyCall,
    name: str,
    find: Find[_ThingT],
    *,
    place: Callable[[_ThingT], After],
    shown: Callable[[_ThingT], Item],
) -> dict[str, Any]:
    """The page that the query, a `PagedQuery`, asks for. Cursors are bound to the name, so it must never change.

    :raises Malformed: the cursor is altered, too old, or of another listing, workspace or filter.
    """
    query: PagedQuery = call.query
    cursors, listing = call.stores.cursors, Listing(name, call.identity.workspace_id, query)
    found = await find(after=cursors.after(listing), limit=query.limit + 1)
    things = found[: query.limit]
    cursor = cursors.next(listing, [place(each) for each in things], more=len(found) > query.limit)
    return page([shown(each) for each in things], limit=query.limit, cursor=cursor)
