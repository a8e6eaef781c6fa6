"""The cases that count rows, each in a process of its own, round after round."""

import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

from tailrace.core.errors import Conflict, Unavailable
from tests.bench.case import CASES
from tests.bench.ground import Ground, open_ground
from tests.bench.report import Figures, Report
from tests.bench.sink import open_sink
from tests.bench.watch import Measured
from tests.bench.work import Place

BASELINE = "naive"

_CHECKOUT = Path(__file__).parents[2]
_CASE_S = 3600
_END = 2000


async def measure_rows(names: Sequence[str], rows: int, repeat: int) -> Report:
    """Every case once a round, so that a machine that slows down slows all of them down."""
    names = [BASELINE, *(name for name in names if name != BASELINE)]
    runs: dict[str, list[Measured]] = {name: [] for name in names}
    sizes = {name: min(rows, CASES[name].rows_at_most or rows) for name in names}
    for size in sorted(set(sizes.values())):
        async with open_ground(size) as ground:
            for _ in range(repeat):
                for name in [name for name in names if sizes[name] == size]:
                    runs[name].append(await run_case(name, ground))
    return {name: figures_of(runs[name], runs[BASELINE]) for name in names}


async def run_case(name: str, ground: Ground) -> Measured:
    """One round of it, from a store of its own to a sink of its own.

    :raises Conflict: not every row came to the sink.
    """
    case = CASES[name]
    store_url = await ground.fresh_store(f"store_{name}")
    with open_sink(case.sink) as sink:
        place = Place(ground.warehouse_url, ground.table, store_url, sink.url)
        measured = run_apart(sys.executable, "tests.bench.case", name, *place.arguments)
        sent, received = case.sends(ground.rows), sink.close().rows
    if received != sent:
        raise Conflict(f"{name} delivered {received:,} rows of {sent:,}")
    return measured


def run_apart(python: str | Path, module: str, *arguments: str, environment: Mapping[str, str] = {}) -> Measured:
    """What the process says of itself that runs a module, at the end of its output.

    :raises Unavailable: it failed; the message holds what it said.
    """
    done = subprocess.run(
        [python, "-m", module, *arguments],
        capture_output=True,
        timeout=_CASE_S,
        check=False,
        cwd=_CHECKOUT,
        env=os.environ | environment,
    )
    if done.returncode:
        raise Unavailable(f"{module} {arguments[0]} failed:\n{done.stderr.decode()[-_END:]}")
    return Measured(**orjson.loads(done.stdout.splitlines()[-1]))


def figures_of(runs: Sequence[Measured], baseline: Sequence[Measured]) -> Figures:
    """Medians."""
    rate, base = rate_of(runs), rate_of(baseline)
    return {
        "rows_per_s": round(rate),
        "ratio_to_naive": round(rate / base, 3),
        "cpu_s_per_million": round(statistics.median(run.cpu_s / run.rows * 1e6 for run in runs), 2),
        "peak_rss_mib": round(statistics.median(run.peak_rss_mib for run in runs), 1),
    }


def rate_of(runs: Sequence[Measured]) -> float:
    """The median of rows a second."""
    return statistics.median(run.rows / run.wall_s for run in runs)
