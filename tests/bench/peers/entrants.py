"""Who takes part, and what each is measured against."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace

from tailrace.core.errors import Conflict
from tests.bench.case import CASES
from tests.bench.ground import Ground, changing, connected
from tests.bench.peers.homes import environment_of, python_of
from tests.bench.rows import run_apart
from tests.bench.sink import Terms, open_sink
from tests.bench.watch import Measured
from tests.bench.work import Place

LIMITS = (
    "drt compares snapshots only for destinations that are databases; its command line refuses one over HTTP.",
    "`drt_snapshot` calls its comparison and its HTTP destination by Python interfaces; what is gone is not sent.",
    "drt sends one request at a time, and takes an answer of 2xx for the delivery of all its rows.",
    "dlt cannot compare with what it delivered where the destination is a function: it has no snapshot run.",
    "dlt writes all rows to disk before it sends the first; `dlt_tuned` would send a whole file again after a crash.",
    "A cursor sees no row that is gone, theirs as ours.",
)
"""What figures do not tell."""

_MANAGED = "DROP SCHEMA IF EXISTS _drt CASCADE"
_FEW = 5_000


@dataclass(frozen=True, slots=True)
class Entrant:
    """A peer at one kind of work, and our case that does the same.

    `again` measures a second run, of which 1 % of the rows are changed and 0.1 % removed; no more than `rows_at_most`.
    """

    what: str
    peer: str
    against: str
    again: bool = False
    rows_at_most: int | None = None

    @property
    def sink(self) -> Terms:
        """As our case has it."""
        return CASES[self.against].sink


ENTRANTS: Mapping[str, Entrant] = {
    "drt": Entrant("drt as documented, its pacing off: first run, a batch is a request", "drt", "full"),
    "drt_tuned": Entrant("drt tuned: JSON by PostgreSQL, 50,000 rows a load", "drt", "full"),
    "drt_cursor": Entrant("drt tuned: second run by cursor", "drt", "cursor", again=True),
    "drt_snapshot": Entrant("drt by its Python interfaces: second run by snapshot", "drt", "snapshot", again=True),
    "drt_single": Entrant("drt tuned: first run, a request for each row", "drt", "single", rows_at_most=_FEW),
    "drt_latency50": Entrant(
        "drt tuned: first run, 50 ms latency, 100 rows a request", "drt", "latency50", rows_at_most=_FEW
    ),
    "dlt": Entrant("dlt as documented: first run, rows and `requests`", "dlt", "full"),
    "dlt_arrow": Entrant("dlt as documented for speed: pyarrow and Parquet", "dlt", "full"),
    "dlt_tuned": Entrant("dlt tuned: ConnectorX, arro3 and aiohttp with 8 in flight", "dlt", "full"),
    "dlt_cursor": Entrant("dlt tuned: second run by cursor", "dlt", "cursor", again=True),
}


async def run_entrant(name: str, ground: Ground) -> Measured:
    """One round of it, in a process and a folder of its own, to a sink of its own.

    :raises Conflict: not every row came to the sink.
    :raises Unavailable: it cannot be installed, or it failed.
    """
    entrant = ENTRANTS[name]
    await forget_runs(ground)
    with tempfile.TemporaryDirectory() as folder, open_sink(entrant.sink) as sink:
        place = Place(ground.warehouse_url, ground.table, folder, sink.url)
        measured = await _second(name, place, ground.rows) if entrant.again else run_once(name, place, ground.rows)
        received = sink.close().rows
    sent = CASES[entrant.against].sends(ground.rows)
    if received < sent:
        raise Conflict(f"{name} delivered {received:,} rows of {sent:,}")
    return measured


async def forget_runs(ground: Ground) -> None:
    """Remove what drt keeps of its runs in the warehouse."""
    async with connected(ground.warehouse_url) as warehouse:
        await warehouse.execute(_MANAGED)


def run_once(name: str, place: Place, rows: int) -> Measured:
    """A run of it, the first one where its folder is empty.

    :raises Unavailable: it cannot be installed, or it failed.
    """
    peer = ENTRANTS[name].peer
    arguments = (name, str(rows), *place.arguments)
    environment = environment_of(place.state)
    return run_apart(python_of(peer), f"tests.bench.peers.{peer}_work", *arguments, environment=environment)


async def _second(name: str, place: Place, rows: int) -> Measured:
    async with connected(place.warehouse_url) as warehouse, changing(warehouse, place.table) as copy:
        own = replace(place, table=copy.table)
        run_once(name, own, rows)
        await copy.change()
        return run_once(name, own, rows)
