"""What must hold after any fault, told from what can be seen outside: source, sink, letters and the run's record."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from tailrace.core.runs import Books, RunStatus
from tailrace.store.runs import Run
from tests.faults.sink import Row


@dataclass(frozen=True, slots=True)
class Facts:
    """What was seen of one run, and of `earlier` ones that were broken off before it.

    `source` was there for all that time, and nothing else was.
    """

    source: Collection[Row]
    arrived: Counter[Row]
    dead: Collection[int]
    run: Run
    takeovers: int
    window_rows: int
    lost_rows: int = 0
    """Rows that the store knew of and forgot."""
    earlier: Sequence[Run] = ()
    broken_off: int = 0
    """Shards of earlier runs that were begun."""

    @property
    def repeated(self) -> int:
        """How many rows came that had come before."""
        return self.arrived.total() - len(self.arrived)

    @property
    def repeats_allowed(self) -> int:
        """Each owner that was lost, with its run or not, may have sent so much that nobody knew of."""
        return (self.takeovers + self.broken_off) * self.window_rows + self.lost_rows


def breaches(facts: Facts) -> list[str]:
    """What does not hold of runs that send a whole source; empty if all is well."""
    return [*_rows(facts), *_books(facts)]


def misplaced(table: Mapping[int, str], wanted: Mapping[int, str]) -> list[str]:
    """How the destination's table differs from what it should be."""
    keys = table.keys() | wanted.keys()
    return [
        f"table: {key} is {table.get(key)!r}, not {wanted.get(key)!r}" for key in keys if _differ(table, wanted, key)
    ]


def over_limit(asked: Sequence[float], *, requests_per_s: float, burst: float) -> list[str]:
    """The spans, by their first and last request, in which more was asked for than the limit lets through."""
    return [
        f"limits: {later - earlier + 1} requests within {asked[later] - asked[earlier]:.2f} s"
        for earlier, later in combinations(range(len(asked)), 2)
        if later - earlier + 1 > requests_per_s * (asked[later] - asked[earlier]) + burst
    ]


def _rows(facts: Facts) -> Iterator[str]:
    lost = [row for row in facts.source if row not in facts.arrived and row[0] not in facts.dead]
    invented = facts.arrived.keys() - set(facts.source)
    if lost:
        yield f"no loss: {len(lost)} rows neither arrived nor are dead letters, such as {lost[:3]}"
    if invented:
        yield f"no invention: {len(invented)} rows arrived that were never in the source, such as {list(invented)[:3]}"
    if facts.repeated > facts.repeats_allowed:
        yield f"few repeats: {facts.repeated} rows came again, {facts.repeats_allowed} may"


def _books(facts: Facts) -> Iterator[str]:
    run, before = facts.run, sum((run.books for run in facts.earlier), start=Books())
    if run.status is not RunStatus.SUCCEEDED:
        yield f"every run ends: this one is {run.status}, {run.error_code}: {run.error_message}"
    books = before + run.books
    told = {
        "read": run.books.read,
        "delivered": books.delivered,
        "rejected": books.rejected,
        "skipped": run.books.skipped,
    }
    seen = {
        "read": len(facts.source),
        "delivered": len(facts.source) - len(facts.dead),
        "rejected": len(facts.dead),
        "skipped": before.delivered + before.rejected,
    }
    if told != seen or not all(one.books.balance for one in (*facts.earlier, run)):
        yield f"books: they say {told}, seen was {seen}"


def _differ(table: Mapping[int, str], wanted: Mapping[int, str], key: int) -> bool:
    return table.get(key) != wanted.get(key)
