"""Where a listing goes on: by the number of a page, or by a cursor.

Cursors are signed, and good only for the workspace and the filter they were made for.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

import orjson
from pydantic import Field
from yarl import URL

from tailrace.core.clock import Clock
from tailrace.store.secrets import SecretBox
from tailrace_gateway.models import Query
from tailrace_gateway.problems import Fault, Malformed, Unprocessable

LIMIT = 50
LIMIT_MOST = 1000

_GOOD_FOR = timedelta(hours=24)
_SIGNATURE_SIZE_BYTES = 16

After = tuple[datetime, str]
"""The moment and the id of the last thing seen."""


class PagedQuery(Query):
    """Which page of a listing."""

    limit: Annotated[int, Field(ge=1, le=LIMIT_MOST)] = LIMIT
    cursor: Annotated[str | None, Field(min_length=1, max_length=1024)] = None


@dataclass(frozen=True, slots=True)
class Listing:
    """What is listed, to whom, by which filter: a cursor of one is refused by another."""

    name: str
    workspace_id: str
    query: PagedQuery

    @property
    def filter(self) -> bytes:
        """Everything that a cursor is bound to."""
        chosen = self.query.model_dump(mode="json", exclude={"limit", "cursor"})
        return orjson.dumps([self.name, self.workspace_id, chosen], option=orjson.OPT_SORT_KEYS)


@dataclass(frozen=True, slots=True)
class NumberedPage:
    """A page by its number from 1, of a listing that reaches so many things back."""

    number: int
    size: int
    reach: int

    @property
    def offset(self) -> int:
        """How many things stand before it."""
        return (self.number - 1) * self.size

    def paging(self, url: URL, total: int, *, or_narrow: str) -> dict[str, Any]:
        """What the answer says of its place: `next` is left out on the last page, and where it would be refused.

        :raises Unprocessable: there are things on the page, and they are too many back.
        """
        if self.offset < total and self.offset + self.size > self.reach:
            detail = f"it must not end more than {self.reach} back; narrow {or_narrow}"
            raise Unprocessable([Fault.at_parameter("page", "too_far", detail)])
        told: dict[str, Any] = {"total": total}
        if self.offset + self.size < total and self.offset + 2 * self.size <= self.reach:
            told["next"] = str(url.update_query(page=self.number + 1))
        return told


class Cursors:
    """Makes and reads cursors; every gateway with the same secret key reads those of the others."""

    def __init__(self, box: SecretBox, clock: Clock) -> None:
        self._keys = box.derive("cursor")
        self._clock = clock

    def after(self, listing: Listing) -> After | None:
        """Where the page begins; None for the first one.

        :raises Malformed: the cursor is altered, too old, or of another workspace or filter.
        """
        text = listing.query.cursor
        if text is None:
            return None
        signature, payload = _unpack(text)
        if not any(hmac.compare_digest(signature, _sign(key, payload, listing)) for key in self._keys):
            raise _refused()
        until, moment, last_id = orjson.loads(payload)
        if datetime.fromisoformat(until) < self._clock.now():
            raise _refused()
        return datetime.fromisoformat(moment), last_id

    def next(self, listing: Listing, seen: Sequence[After], *, more: bool) -> str | None:
        """The cursor of the page behind those seen; None where there is no more."""
        if not more or not seen:
            return None
        moment, last_id = seen[-1]
        until = self._clock.now() + _GOOD_FOR
        payload = orjson.dumps([until.isoformat(timespec="seconds"), moment.isoformat(), last_id])
        signed = _sign(self._keys[0], payload, listing) + payload
        return _pack(signed)


def _sign(key: bytes, payload: bytes, listing: Listing) -> bytes:
    bound = hashlib.sha256(listing.filter).digest()
    return hmac.digest(key, bound + payload, "sha256")[:_SIGNATURE_SIZE_BYTES]


def _pack(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _unpack(text: str) -> tuple[bytes, bytes]:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _refused() from None
    if _pack(raw) != text:
        raise _refused()
    return raw[:_SIGNATURE_SIZE_BYTES], raw[_SIGNATURE_SIZE_BYTES:]


def _refused() -> Malformed:
    detail = "this cursor is altered, older than a day, or of another filter; leave it out to start anew"
    return Malformed(detail, code="CURSOR", faults=[Fault.at_parameter("cursor", "cursor", detail)])
