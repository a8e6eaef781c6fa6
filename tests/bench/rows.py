"""The cases that count rows, each in a process of its own, round after round."""

import statistics
import subprocess
import sys
from collections.abc import Sequence

import orjson

from tests.bench.case import CASES, Case, Measured, Place
from tests.bench.ground import Ground, open_ground
from tests.bench.report import Figures, Report
from tests.bench.sink import open_sink

BASELINE = "naive"

_CASE_S = 3600


async def measure_rows(names: Sequence[str], rows: int, repeat: int) -> Report:
    """Every case once a round, so that a machine that slows down slows all of them down."""
    names = [BASELINE, *(name for name in names if name != BASELINE)]
    runs: dict[str, list[Measured]] = {name: [] for name in names}
    sizes = {name: min(rows, CASES[name].rows_at_most or rows) for name in names}
    for size in sorted(set(sizes.values())):
        async with open_ground(size) as ground:
            for _ in range(repeat):
                for name in [name for name in names if sizes[name] == size]:
                    runs[name].append(await _run(name, CASES[name], ground))
    return {name: _figures(runs[name], runs[BASELINE]) for name in names}


async def _run(name: str, case: Case, ground: Ground) -> Measured:
    store_url = await ground.fresh_store(f"store_{name}")
    with open_sink(case.sink) as sink_url:
        place = Place(ground.warehouse_url, ground.table, store_url, sink_url)
        return measured("tests.bench.case", name, *place.arguments)


def measured(module: str, *arguments: str) -> Measured:
    """What the process says that measures the case; it ends ours where it fails."""
    done = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, timeout=_CASE_S, check=False)
    if done.returncode:
        raise SystemExit(f"the case {' '.join(arguments[:1])} failed:\n{done.stderr.decode()}")
    return Measured(**orjson.loads(done.stdout))


def _figures(runs: Sequence[Measured], baseline: Sequence[Measured]) -> Figures:
    rate, base = _rate(runs), _rate(baseline)
    return {
        "rows_per_s": round(rate),
        "ratio_to_naive": round(rate / base, 3),
        "cpu_s_per_million": round(statistics.median(run.cpu_s / run.rows * 1e6 for run in runs), 2),
        "peak_rss_mib": round(statistics.median(run.peak_rss_mib for run in runs), 1),
    }


def _rate(runs: Sequence[Measured]) -> float:
    return statistics.median(run.rows / run.wall_s for run in runs)
