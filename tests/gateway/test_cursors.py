"""Cursors: what they are bound to."""

import base64
import os
import string
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tailrace.store.secrets import SecretBox
from tailrace_gateway.paging import Cursors, Listing
from tailrace_gateway.planasonix_syncs import SyncsQuery
from tailrace_gateway.problems import Malformed

_ALPHABET = string.ascii_letters + string.digits + "-_"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
LAST = (NOW - timedelta(days=3, microseconds=7), "retl_sync_z")


class HeldClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.moment = NOW

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.moment.timestamp()

    async def sleep(self, wait_s: float) -> None:
        self.moment += timedelta(seconds=wait_s)


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest.fixture
def cursors(clock: HeldClock) -> Cursors:
    return Cursors(SecretBox([os.urandom(32)]), clock)


def _listing(**query: object) -> Listing:
    return Listing("syncs", "ws_a", SyncsQuery.model_validate(query))


def _next(cursors: Cursors, listing: Listing) -> str:
    cursor = cursors.next(listing, [LAST], more=True)
    assert cursor is not None
    return cursor


def test_cursor_leads_behind_the_last_one_seen(cursors: Cursors) -> None:
    cursor = _next(cursors, _listing(enabled=True))

    assert cursors.after(_listing(enabled=True, cursor=cursor)) == LAST


def test_limit_may_change_on_the_way(cursors: Cursors) -> None:
    cursor = _next(cursors, _listing(limit=5))

    assert cursors.after(_listing(limit=500, cursor=cursor)) == LAST


def test_last_page_has_none(cursors: Cursors) -> None:
    assert cursors.next(_listing(), [LAST], more=False) is None


def test_first_page_needs_none(cursors: Cursors) -> None:
    assert cursors.after(_listing()) is None


def test_gateway_with_the_same_key_reads_it(clock: HeldClock) -> None:
    key, older = os.urandom(32), os.urandom(32)
    cursor = _next(Cursors(SecretBox([older]), clock), _listing())

    assert Cursors(SecretBox([key, older]), clock).after(_listing(cursor=cursor)) == LAST


@pytest.mark.parametrize("change", [{"enabled": False}, {"destination_id": "conn_x"}], ids=str)
def test_cursor_of_another_filter_is_refused(cursors: Cursors, change: dict[str, object]) -> None:
    cursor = _next(cursors, _listing(enabled=True))

    with pytest.raises(Malformed):
        cursors.after(_listing(cursor=cursor, **change))


def test_cursor_of_another_workspace_is_refused(cursors: Cursors) -> None:
    listing = _listing(cursor=_next(cursors, _listing()))

    with pytest.raises(Malformed):
        cursors.after(replace(listing, workspace_id="ws_b"))


def test_cursor_of_another_listing_is_refused(cursors: Cursors) -> None:
    listing = _listing(cursor=_next(cursors, _listing()))

    with pytest.raises(Malformed):
        cursors.after(replace(listing, name="runs"))


def test_cursor_is_refused_after_a_day(cursors: Cursors, clock: HeldClock) -> None:
    cursor = _next(cursors, _listing())
    clock.moment += timedelta(hours=24, seconds=1)

    with pytest.raises(Malformed):
        cursors.after(_listing(cursor=cursor))


@pytest.mark.parametrize("apart", [timedelta(minutes=-5), timedelta(minutes=5)], ids=["behind", "ahead"])
@pytest.mark.parametrize(("after", "is_read"), [(timedelta(hours=23), True), (timedelta(hours=25), False)])
def test_cursor_is_read_for_a_day_by_gateways_whose_clocks_are_minutes_apart(
    clock: HeldClock, apart: timedelta, after: timedelta, *, is_read: bool
) -> None:
    box, other = SecretBox([os.urandom(32)]), HeldClock()
    cursor = _next(Cursors(box, clock), _listing())
    other.moment += apart + after

    assert _is_read(Cursors(box, other), cursor) is is_read


def _is_read(cursors: Cursors, cursor: str) -> bool:
    try:
        return cursors.after(_listing(cursor=cursor)) == LAST
    except Malformed:
        return False


def test_cursor_of_another_key_is_refused(cursors: Cursors, clock: HeldClock) -> None:
    cursor = _next(Cursors(SecretBox([os.urandom(32)]), clock), _listing())

    with pytest.raises(Malformed):
        cursors.after(_listing(cursor=cursor))


@pytest.mark.parametrize("last_id", ["a", "ab", "abc"], ids=["no spare bits", "two", "four"])
def test_every_altered_bit_is_noticed(cursors: Cursors, last_id: str) -> None:
    cursor = cursors.next(_listing(), [(NOW, last_id)], more=True) or ""
    altered = [
        cursor[:at] + other + cursor[at + 1 :]
        for at in range(len(cursor))
        for other in _ALPHABET
        if other != cursor[at]
    ]

    refused = [each for each in altered if _is_refused(cursors, each)]

    assert refused == altered


@pytest.mark.parametrize(
    "cursor", ["x", "é", "=", "....", base64.urlsafe_b64encode(b"0" * 40).decode(), "A" * 1024, "a b"]
)
def test_nonsense_is_refused(cursors: Cursors, cursor: str) -> None:
    assert _is_refused(cursors, cursor)


def _is_refused(cursors: Cursors, cursor: str) -> bool:
    try:
        cursors.after(_listing(cursor=cursor))
    except Malformed as error:
        return error.code == "CURSOR"
    return False
