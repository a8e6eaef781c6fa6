"""Limits of a vendor: how much, in which unit, who says so, and when somebody looked last."""

import re
from datetime import date
from typing import Annotated

from pydantic import AfterValidator, Field

from tailrace.connector_kit.manifest.parts import Part

_AMOUNT = re.compile(r"([1-9][0-9]*) (rows|B|kB|MB|KiB|MiB)")
_RATE = re.compile(r"([1-9][0-9]*)/([1-9][0-9]*)(s|min|h|d)")
_SIZES = {"B": 1, "kB": 1000, "MB": 1_000_000, "KiB": 1024, "MiB": 1_048_576}
_SPANS_S = {"s": 1, "min": 60, "h": 3600, "d": 86_400}


def _is_page(text: str) -> str:
    if not text.startswith("https://"):
        raise ValueError("name the vendor's page: https://...")
    return text


Page = Annotated[str, AfterValidator(_is_page)]
"""The address of a vendor's page."""


def _is_rows(text: str) -> str:
    return _fits(text, _AMOUNT, "100 rows", units={"rows"})


def _is_size(text: str) -> str:
    return _fits(text, _AMOUNT, "500 kB", units=set(_SIZES))


def _is_rate(text: str) -> str:
    return _fits(text, _RATE, "100/10s")


class Cited(Part):
    """Something that a vendor says: where, and the day somebody looked. `note` says what is not the vendor's word."""

    source: Page
    checked: date
    note: str = ""


class RowLimit(Cited):
    """How many rows a request takes, such as `100 rows`."""

    at_most: Annotated[str, AfterValidator(_is_rows)]

    @property
    def rows(self) -> int:
        """The number."""
        return int(self.at_most.split()[0])


class SizeLimit(Cited):
    """How large a request's body may be, such as `4 MB` (millions) or `4 MiB`."""

    at_most: Annotated[str, AfterValidator(_is_size)]

    @property
    def size_bytes(self) -> int:
        """In bytes."""
        amount, unit = self.at_most.split()
        return int(amount) * _SIZES[unit]


class Bucket(Cited):
    """How many requests an account may make in a time, such as `100/10s`, and the headers that tell what is left.

    `left` names the header with the requests that are left; at zero nothing is sent until the time is over. `most` and
    `span_ms` name those with the account's own limit and time, where plans differ.
    """

    name: str = Field(pattern=r"^[a-z][a-z_]*$")
    rate: Annotated[str, AfterValidator(_is_rate)]
    left: str | None = None
    most: str | None = None
    span_ms: str | None = None

    @property
    def requests(self) -> int:
        """How many in `span_s`."""
        return int(self.rate.split("/")[0])

    @property
    def span_s(self) -> float:
        """The time that they are counted in."""
        return span_s(self.rate)


def span_s(rate: str) -> float:
    """The seconds of a rate: 10 of `100/10s`."""
    found = _RATE.fullmatch(rate)
    return int(found[2]) * _SPANS_S[found[3]] if found else 0.0


def _fits(text: str, pattern: "re.Pattern[str]", example: str, *, units: set[str] | None = None) -> str:
    found = pattern.fullmatch(text)
    if not found or (units and found[2] not in units):
        raise ValueError(f"write a number and its unit, such as `{example}`")
    return text
