"""Lines of text of which most are known and unchanged, put together into stretches of neighbours."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tailrace.connector_kit.copy_text import LineKeys
from tailrace.core.row_columns import RowColumns
from tailrace.core.rows import RowHash
from tailrace.pipeline.plain import PlainUpdates


@dataclass(slots=True)
class Stretches:
    """Stretches from a place in the text on, told of in order; all lines that nothing is said of did not change.

    Of a line that was read, `rows` has the row, by the number that is said with it.
    """

    text: bytes
    rows: RowColumns
    start: int
    line: int = 0
    changed: list[int] = field(default_factory=list)
    changed_at: list[int] = field(default_factory=list)
    delivered: list[RowHash] = field(default_factory=list)
    learnt: list[int] = field(default_factory=list)
    learnt_at: list[int] = field(default_factory=list)

    def change(self, line: int, nth: int, delivered: RowHash) -> None:
        """A line changed from what was delivered."""
        self.changed.append(nth)
        self.changed_at.append(line - self.line)
        self.delivered.append(delivered)

    def learn(self, line: int, nth: int) -> None:
        """A line did not change, and its hash in the warehouse is to be learnt."""
        self.learnt.append(nth)
        self.learnt_at.append(line - self.line)

    def before(self, line: int, start: int) -> Iterator[PlainUpdates]:
        """The lines up to one, which begins at `start`; the next stretch begins with it."""
        if line > self.line:
            keys = LineKeys(self.text, self.start, start, line - self.line)
            learnt, changed = self.rows.only(self.learnt), self.rows.only(self.changed)
            yield PlainUpdates(keys, self.changed_at, changed, self.delivered, self.learnt_at, learnt)
            self.changed, self.changed_at, self.delivered, self.learnt, self.learnt_at = [], [], [], [], []
        self.line, self.start = line, start

    def leave_out(self) -> None:
        """The next stretch begins behind the line that it would begin with."""
        self.line, self.start = self.line + 1, end_of_line(self.text, self.start) + 1


def end_of_line(text: bytes, start: int) -> int:
    """Where a line ends, its end not included."""
    end = text.find(b"\n", start)
    return len(text) if end < 0 else end
