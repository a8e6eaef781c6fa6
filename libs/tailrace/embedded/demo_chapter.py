"""A run of the demo: started, watched until it ends, held against what was expected of it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tailrace.core.errors import Unavailable
from tailrace.embedded.demo_api import DemoApi, RunView
from tailrace.embedded.demo_expected import ExpectedBooks

_LOOK_S = 0.1
_LONGEST_S = 180.0
_TOLD = ("read", "delivered", "skipped", "rejected", "removed")

Start = Callable[[str], Awaitable[str]]
"""Starts a run of a sync; gives the run's id."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """A run that has ended, and what was expected of it."""

    title: str
    run: RunView
    took_s: float
    expected: ExpectedBooks

    @property
    def reasons(self) -> dict[str, int]:
        """Why rows were skipped or rejected, and how many."""
        every: Mapping[str, int] = self.run.books["reasons"]
        return {reason: count for reason, count in every.items() if not reason.startswith("change.")}

    @property
    def wrong(self) -> list[str]:
        """What is not as expected, in words; empty where all is well."""
        if self.run.status != "succeeded":
            return [f"{self.title}: the run {self.run.status}: {self.run.error}"]
        told = {name: self.run.books[name] for name in _TOLD} | {"reasons": self.reasons}
        wanted = {name: getattr(self.expected, name) for name in told}
        return [
            f"{self.title}: {name} is {told[name]}, not {wanted[name]}" for name in told if told[name] != wanted[name]
        ]


class Show(Protocol):
    """Somebody who is told how the demo goes."""

    def step(self, text: str) -> None:
        """What was done, in a sentence."""
        ...

    def progress(self, title: str, run: RunView, rows: int) -> None:
        """How far a run is, of so many rows."""
        ...

    def chapter(self, chapter: Chapter) -> None:
        """A run has ended."""
        ...

    def letters(self, counts: Mapping[str, int], some: list[dict[str, Any]]) -> None:
        """The dead letters that are open, by their code, and a few of them."""
        ...


@dataclass(frozen=True, slots=True)
class Plot:
    """A run that is to be: of which sync, how it is started, what it has to do."""

    title: str
    sync_id: str
    start: Start
    expected: ExpectedBooks


async def play(plot: Plot, api: DemoApi, show: Show) -> Chapter:
    """Start the run and watch it until it has ended.

    :raises Unavailable: it did not end in three minutes.
    """
    started_at = time.monotonic()
    run_id = await plot.start(plot.sync_id)
    try:
        async with asyncio.timeout(_LONGEST_S):
            run = await api.run(run_id)
            while not run.has_ended:
                show.progress(plot.title, run, plot.expected.read)
                await asyncio.sleep(_LOOK_S)
                run = await api.run(run_id)
    except TimeoutError as error:
        raise Unavailable(f"the {plot.title} did not end within {_LONGEST_S:g} s") from error
    show.progress(plot.title, run, plot.expected.read)
    chapter = Chapter(plot.title, run, time.monotonic() - started_at, plot.expected)
    show.chapter(chapter)
    return chapter
