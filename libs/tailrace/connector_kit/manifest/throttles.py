"""The nine ways in which vendors say how long to wait."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from tailrace.connector_kit.answers import retry_after_s
from tailrace.connector_kit.http import HttpResponse
from tailrace.connector_kit.manifest.parts import Part, Path, number_at, read_json

LONGEST_S = 900.0
"""Longer waits are cut: whoever waits asks again."""

_MINUTE_S = 60.0
_DEEPEST = 5
_USED_OF_MOST = re.compile(r"\b([0-9]{1,12})/([0-9]{1,12})\b")
_Header = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,100}$")]
_Wait = Annotated[float, Field(gt=0, le=LONGEST_S)]


class Throttle(Part, ABC):
    """How to read a wait from an answer that asks for one."""

    @abstractmethod
    def wait_s(self, response: HttpResponse, *, now: datetime) -> float | None:
        """Seconds to wait; None where this answer does not say it in this way."""


class RetryAfter(Throttle):
    """The header `Retry-After`, in seconds or as a date."""

    kind: Literal["retry_after"] = "retry_after"

    def wait_s(self, response: HttpResponse, *, now: datetime) -> float | None:
        return retry_after_s(response, now=now)


class ResetAt(Throttle):
    """A header with the moment when it is over, in seconds since 1970."""

    kind: Literal["reset_at"] = "reset_at"
    header: _Header

    def wait_s(self, response: HttpResponse, *, now: datetime) -> float | None:
        moment = _number(response, self.header)
        return None if moment is None else max(0.0, moment - now.timestamp())


class ResetIn(Throttle):
    """A header with the seconds to go."""

    kind: Literal["reset_in"] = "reset_in"
    header: _Header

    def wait_s(self, response: HttpResponse, *, now: datetime) -> float | None:
        return _number(response, self.header)


class UsedOfMost(Throttle):
    """A header such as `api-usage=695/15000` and no wait: once used up, wait as long as said here."""

    kind: Literal["used_of_most"] = "used_of_most"
    header: _Header
    then_s: _Wait

    def wait_s(self, response: HttpResponse, *, now: datetime) -> float | None:
        return self.then_s if self.is_used_up(response) else None

    def is_used_up(self, response: HttpResponse) -> bool:
        """Whether the header says that nothing is left."""
        found = _USED_OF_MOST.search(response.headers.get(self.header.lower(), ""))
        return found is not None and int(found[1]) >= int(found[2])


class NothingLeft(Throttle):
    """A header with the requests that are left, and none with a wait: at zero, wait as long as said here."""

    kind: Literal["nothing_left"] = "nothing_left"
    header: _Header
    then_s: _Wait

    def wait_s(self, response: HttpResponse, *, now: datetime) -> float | None:
        return self.then_s if _number(response, self.header) == 0 else None


class InBody(Throttle):
    """A number in the JSON body, seconds to go or the moment when it is over."""

    kind: Literal["in_body"] = "in_body"
    at: Path
    unit: Literal["s", "ms", "epoch_s"]

    def wait_s(self, response: HttpResponse, *, now: datetime) -> float | None:
        told = number_at(read_json(response.body), self.at)
        if told is None:
            return None
        match self.unit:
            case "s":
                return told
            case "ms":
                return told / 1000
        return max(0.0, told - now.timestamp())


class NamedInHeader(Throttle):
    """A header of JSON in which numbers have this name, such as one for each quota: the longest wait counts."""

    kind: Literal["named_in_header"] = "named_in_header"
    header: _Header
    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,100}$")
    unit: Literal["s", "min"]

    def wait_s(self, response: HttpResponse, *, now: datetime) -> float | None:
        held = read_json(response.headers.get(self.header.lower(), "").encode())
        told = max(_numbers_named(self.name, held), default=0.0)
        return told * (_MINUTE_S if self.unit == "min" else 1) or None


class TooManyAtOnce(Throttle):
    """The vendor counts requests in flight, not in a time: come back when one of ours may be done."""

    kind: Literal["too_many_at_once"] = "too_many_at_once"
    then_s: _Wait

    def wait_s(self, response: HttpResponse, *, now: datetime) -> float | None:
        return self.then_s


class SaysNothing(Throttle):
    """The vendor does not say how long: wait as long as said here, or, where nothing is, as the engine thinks fit."""

    kind: Literal["says_nothing"] = "says_nothing"
    then_s: _Wait | None = None

    def wait_s(self, response: HttpResponse, *, now: datetime) -> float | None:
        return self.then_s


AnyThrottle = Annotated[
    RetryAfter | ResetAt | ResetIn | UsedOfMost | NothingLeft | InBody | NamedInHeader | TooManyAtOnce | SaysNothing,
    Field(discriminator="kind"),
]
"""One of the nine signals."""


def wait_of(signals: tuple[AnyThrottle, ...], response: HttpResponse, *, now: datetime) -> float | None:
    """What the first signal says that says anything; None leaves it to the engine."""
    for signal in signals:
        wait_s = signal.wait_s(response, now=now)
        if wait_s is not None:
            return min(wait_s, LONGEST_S)
    return None


def _numbers_named(name: str, held: object) -> Iterator[float]:
    """The numbers of a name in the objects and lists of a document, as deep as quotas lie in one."""
    parts = [held]
    for _ in range(_DEEPEST):
        objects = [part for part in parts if isinstance(part, dict)]
        for each in objects:
            if (number := number_at(each, name)) is not None:
                yield number
        lists = [part for part in parts if isinstance(part, list)]
        parts = [part for each in (*lists, *(each.values() for each in objects)) for part in each]


def _number(response: HttpResponse, header: str) -> float | None:
    try:
        number = float(response.headers.get(header.lower(), ""))
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
