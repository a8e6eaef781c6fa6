"""How the demo shows itself: a moving picture on a terminal, lines elsewhere, JSON for machines."""

import sys
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from tailrace.embedded.demo_api import RunView
from tailrace.embedded.demo_chapter import Chapter

_LINE_EVERY_S = 1.0
_SHOWN_OF_EACH = 2
_BOOKS = (
    ("read", "read from the warehouse"),
    ("delivered", "delivered"),
    ("skipped", "skipped"),
    ("rejected", "rejected"),
    ("removed", "gone from the query"),
    ("kept", "kept at the destination"),
)


class JsonShow:
    """One object a run on stdout, and nothing else."""

    def step(self, text: str) -> None:
        """Say nothing."""

    def progress(self, title: str, run: RunView, rows: int) -> None:
        """Say nothing."""

    def chapter(self, chapter: Chapter) -> None:
        """One line."""
        facts = {
            "run": chapter.title,
            "run_id": chapter.run.id,
            "status": chapter.run.status,
            "took_s": round(chapter.took_s, 3),
            "as_expected": not chapter.wrong,
            "books": {name: value for name, value in chapter.run.books.items() if name != "reasons"},
            "by_reason": dict(chapter.run.books["reasons"]),
        }
        sys.stdout.write(orjson.dumps(facts).decode() + "\n")
        sys.stdout.flush()

    def letters(self, counts: Mapping[str, int], some: list[dict[str, Any]]) -> None:
        """Say nothing."""


class TextShow:
    """Sentences, progress and tables; the progress moves where the output is a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._chapters: list[Chapter] = []
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._said_at = 0.0

    def step(self, text: str) -> None:
        """A sentence."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def progress(self, title: str, run: RunView, rows: int) -> None:
        """A bar on a terminal, a line a second elsewhere."""
        if self._console.is_terminal:
            self._move(title, run, rows)
        elif time.monotonic() - self._said_at >= _LINE_EVERY_S or run.has_ended:
            self._said_at = time.monotonic()
            self.step(f"  {title}: {run.status}, {_counts(run)}")

    def chapter(self, chapter: Chapter) -> None:
        """Stop the bar; the tables come at the end."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        self._chapters.append(chapter)
        self.step(f"The {chapter.title} {chapter.run.status} after {chapter.took_s:.1f} s.")

    def letters(self, counts: Mapping[str, int], some: list[dict[str, Any]]) -> None:
        """What became of all rows, then a few dead letters."""
        self._console.print(_table(self._chapters))
        letters = Table(title=f"Dead letters: {sum(counts.values())} open, some of them", title_justify="left")
        for heading in ("code", "key", "why", "tries"):
            letters.add_column(heading, overflow="fold")
        for letter in _two_of_each(some):
            key = ", ".join(f"{name}={value}" for name, value in letter["record_keys"].items())
            letters.add_row(*map(Text, (letter["error_code"], key, letter["message"], str(letter["attempts"]))))
        self._console.print(letters)

    def _move(self, title: str, run: RunView, rows: int) -> None:
        if self._bar is None:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[counts]}"),
            )
            self._bar = Progress(*columns, console=self._console)
            self._task = self._bar.add_task(title, total=rows, counts="")
            self._bar.start()
        self._bar.update(self._task, completed=run.books["read"], counts=_counts(run))


def _two_of_each(letters: list[dict[str, Any]]) -> list[dict[str, Any]]:
    seen: Counter[str] = Counter()
    chosen = []
    for letter in letters:
        seen[letter["error_code"]] += 1
        if seen[letter["error_code"]] <= _SHOWN_OF_EACH:
            chosen.append(letter)
    return sorted(chosen, key=lambda letter: str(letter["error_code"]))


def _counts(run: RunView) -> str:
    return ", ".join(f"{run.books[name]:,} {name}" for name in ("read", "delivered", "skipped", "rejected"))


def _table(chapters: list[Chapter]) -> Table:
    table = Table(title="What became of the rows", title_justify="left")
    table.add_column("")
    for chapter in chapters:
        table.add_column(chapter.title, justify="right")
    for name, label in _BOOKS:
        table.add_row(label, *(f"{chapter.run.books[name]:,}" for chapter in chapters), style="bold")
        for reason in _reasons(chapters, name):
            counts = (chapter.run.books["reasons"].get(reason, 0) for chapter in chapters)
            table.add_row(
                f"  {reason.partition('.')[2].lower().replace('_', ' ')}", *(f"{count:,}" for count in counts)
            )
    balanced = all(chapter.run.books["balanced"] for chapter in chapters)
    table.caption = "The books balance." if balanced else "The books do not balance!"
    return table


def _reasons(chapters: list[Chapter], name: str) -> list[str]:
    """The reasons under a line of the books; additions and changes stand under what was read."""
    if name == "read":
        return ["change.added", "change.changed"]
    return sorted({key for chapter in chapters for key in chapter.run.books["reasons"] if key.startswith(f"{name}.")})
