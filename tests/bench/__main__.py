"""Medians of interleaved rounds, as ratios to a loop without guarantees that is measured in the same run.

`--only` names one case and may be given several times. `api`, `growth`, `shards`, `trigger` and `slow_runs` count other
things than rows; the first three run only where they are named.
"""

import asyncio
import sys
from argparse import Namespace
from collections.abc import Sequence

from tailrace.core.errors import TailraceError
from tests.bench.api import measure_starts
from tests.bench.case import CASES
from tests.bench.growth import measure_growth
from tests.bench.options import parser_of, report_to, rows_of
from tests.bench.report import Report
from tests.bench.rows import measure_rows
from tests.bench.shards import measure_shards
from tests.bench.slow_runs import measure_slow_runs
from tests.bench.trigger import measure_trigger

OTHERS = {
    "api": measure_starts,
    "growth": measure_growth,
    "shards": measure_shards,
    "trigger": measure_trigger,
    "slow_runs": measure_slow_runs,
}
"""What counts something else than rows; `api`, `growth` and `shards` only where they are asked for."""

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
    report_to(arguments, report, {name: case.what for name, case in CASES.items()})


def _arguments(given: Sequence[str] | None) -> Namespace:
    parser = parser_of("make bench", __doc__, [*CASES, *OTHERS])
    parser.add_argument("--growth-rows", type=rows_of, default=2_000_000, help="growth: of the smaller table")
    parser.add_argument("--rate", type=int, default=300, help="api: starts a second")
    parser.add_argument("--seconds", type=int, default=20, help="api: for so long")
    parser.add_argument("--starts", type=int, default=100, help="trigger: how many, one after the other")
    parser.add_argument("--runs", type=int, default=5000, help="slow_runs: how many at once")
    parser.add_argument("--hold", type=float, default=60, help="slow_runs: seconds that each destination takes")
    return parser.parse_args(given)


if __name__ == "__main__":
    main(sys.argv[1:])
