"""HTTP as connectors see it: a request, a whole response, and what a status means for a batch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

LONG_ANSWER_BYTES = 16 << 20
"""What an answer that lists objects, or says something of each of many rows, may come to."""

_FIRST_SUCCESS = 200
_FIRST_REDIRECT = 300


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request; `body` is sent as it is. `takes_bytes` lets its answer be larger than usual, within reason."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    takes_bytes: int = 0


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A response read whole, header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        """Whether its status is 2xx."""
        return _FIRST_SUCCESS <= self.status < _FIRST_REDIRECT


class HttpClient(Protocol):
    """Sends exactly once, passes the fence before the first byte, follows no redirect, reads no more than its limit."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send and read the answer, whatever its status.

        :raises DestinationUnavailable: no connection was made, so nothing was sent.
        :raises InDoubt: the request may have been received and the answer is lost; `AnswerTooLong` where it is
            larger than `takes_bytes`.
        :raises DestinationInvalid: the address is forbidden or malformed.
        """
        ...
