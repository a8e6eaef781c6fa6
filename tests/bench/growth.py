"""How much more memory an executor takes for five times as many rows, in a first run and in runs that compare."""

import asyncio
from argparse import Namespace
from collections.abc import Mapping

from tests.bench.ground import open_ground
from tests.bench.report import Figures
from tests.bench.rows import run_case

TIMES = 5

_CASES = ("full", "snapshot", "version")


def measure_growth(arguments: Namespace) -> Figures:
    """Run each once on a table of `growth_rows` rows and on one of five times as many; gives peaks and their ratios."""
    rows = arguments.growth_rows
    return grown({size: asyncio.run(_peaks_mib(size)) for size in (rows, rows * TIMES)})


def grown(peaks_mib: Mapping[int, Figures]) -> Figures:
    """The peaks of each case at both sizes, the smaller one first, and by how much they grow."""
    [few, many] = peaks_mib.values()
    at_sizes = {f"{name}_mib_at_{size}": peaks_mib[size][name] for name in few for size in peaks_mib}
    return at_sizes | {f"{name}_growth": round(many[name] / few[name], 3) for name in few}


async def _peaks_mib(rows: int) -> Figures:
    async with open_ground(rows) as ground:
        return {name: round((await run_case(name, ground)).peak_rss_mib, 1) for name in _CASES}
