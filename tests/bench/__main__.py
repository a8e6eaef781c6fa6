"""Medians of interleaved rounds, as ratios to a loop without guarantees that is measured in the same run.

`--only` names one case and may be given several times. `api`, `trigger` and `slow_runs` count other things than rows.
"""

import asyncio
import os
import platform
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from pathlib import Path

import orjson

from tailrace.core.errors import TailraceError
from tests.bench.api import measure_starts
from tests.bench.case import CASES, ROWS_PER_REQUEST
from tests.bench.report import Report, printed, written
from tests.bench.rows import measure_rows
from tests.bench.slow_runs import measure_slow_runs
from tests.bench.trigger import measure_trigger

OTHERS = {"api": measure_starts, "trigger": measure_trigger, "slow_runs": measure_slow_runs}
"""What counts something else than rows; `api` only where it is asked for."""

_ALWAYS = ("trigger", "slow_runs")


def main(given: Sequence[str] | None = None) -> None:
    """Measure and print."""
    arguments = _arguments(given)
    wanted = arguments.only or [*CASES, *_ALWAYS]
    report: Report = {}
    try:
        if rows := [name for name in wanted if name in CASES]:
            report |= asyncio.run(measure_rows(rows, arguments.rows, arguments.repeat))
        for name in wanted:
            if name in OTHERS:
                report[name] = OTHERS[name](arguments)
    except TailraceError as error:
        raise SystemExit(f"bench: {error.message}") from None
    printed(report, arguments)
    facts = _facts(arguments)
    if arguments.json:
        arguments.json.write_bytes(orjson.dumps({**facts, "cases": report}, option=orjson.OPT_INDENT_2))
    if arguments.markdown:
        arguments.markdown.write_text(written(report, facts))


def _facts(arguments: Namespace) -> dict[str, object]:
    return {
        "machine": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[2], 1),
        "rows": arguments.rows,
        "repeat": arguments.repeat,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _arguments(given: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rows", type=_rows, default=200_000, help="of the table; it is kept for the next time")
    parser.add_argument("--only", action="append", choices=sorted([*CASES, *OTHERS]), metavar="NAME", help="a case")
    parser.add_argument("--repeat", type=int, default=3, help="rounds, of which the median counts")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures there")
    parser.add_argument("--markdown", type=Path, metavar="PATH", help="write the table there, for the documentation")
    parser.add_argument("--rate", type=int, default=300, help="api: starts a second")
    parser.add_argument("--seconds", type=int, default=20, help="api: for so long")
    parser.add_argument("--starts", type=int, default=100, help="trigger: how many, one after the other")
    parser.add_argument("--runs", type=int, default=5000, help="slow_runs: how many at once")
    parser.add_argument("--hold", type=float, default=60, help="slow_runs: seconds that each destination takes")
    return parser.parse_args(given)


def _rows(told: str) -> int:
    rows = int(told)
    if rows < 1 or rows % ROWS_PER_REQUEST:
        raise ArgumentTypeError(f"whole requests only: a multiple of {ROWS_PER_REQUEST}")
    return rows


if __name__ == "__main__":
    main(sys.argv[1:])
