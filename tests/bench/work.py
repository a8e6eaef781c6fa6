"""The work that every case does, and where. Of the standard library alone, as `watch` is."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.bench.watch import Watch, tell

COLUMNS = ("id", "email", "first_name", "last_name", "company", "country", "score", "spent", "active", "updated_at")
ROWS_PER_REQUEST = 500
IN_FLIGHT = 8


@dataclass(frozen=True, slots=True)
class Place:
    """Where a case finds its warehouse, the table in it, its sink, and where it keeps its state: a URL or a folder."""

    warehouse_url: str
    table: str
    state: str
    sink_url: str

    @property
    def arguments(self) -> tuple[str, ...]:
        """Itself on a command line."""
        return (self.warehouse_url, self.table, self.state, self.sink_url)

    @property
    def query(self) -> str:
        """All rows."""
        return f"SELECT {', '.join(COLUMNS)} FROM {self.table}"


def carry_out(hows: Mapping[str, Callable[[Place], None]]) -> None:
    """Do what the command line asks for, HOW ROWS and a place, and print what it took."""
    how, rows, *place = sys.argv[1:]
    watch = Watch()
    hows[how](Place(*place))
    tell(watch.stop(int(rows)))
