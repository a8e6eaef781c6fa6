"""`make bench ARGS="--rows N --only NAME --repeat K --json PATH"`: medians of interleaved runs, as ratios.

`--only api` starts runs at `--rate` a second for `--seconds` and tells how soon they were acknowledged.
"""

import asyncio
import os
import platform
import statistics
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import orjson
from rich.console import Console
from rich.table import Table

from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace.store import migrations
from tests.bench.api import measure_starts
from tests.bench.case import CASES, Measured

BASELINE = "naive"
API = "api"
"""Counts starts, not rows; only where it is asked for."""

PICKY = "rejected"

_CASE_S = 3600
_MAKE_TABLE = """
CREATE TABLE people AS SELECT n AS id, 'person' || n || '@example.com' AS email, 'First' || n % 1000 AS first_name,
  'Last' || n % 5000 AS last_name, 'Company ' || n % 20000 AS company, 'CH' AS country, n % 100 AS score,
  (n % 100000)::numeric / 100 AS spent, n % 3 = 0 AS active,
  timestamptz '2026-01-01' + n * interval '1 second' AS updated_at
FROM generate_series(1, $1::int) AS n
"""


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    report = _rows_report(arguments) if arguments.only != [API] else {}
    if API in (arguments.only or ()):
        report[API] = measure_starts(arguments)
    if arguments.json:
        facts = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count(), "rows": arguments.rows}
        arguments.json.write_bytes(orjson.dumps({**facts, "cases": report}, option=orjson.OPT_INDENT_2))


def _rows_report(arguments: Namespace) -> dict[str, dict[str, float]]:
    runs = asyncio.run(measure(arguments))
    report = {name: _row(runs[name], runs[BASELINE]) for name in runs}
    _print(report, arguments)
    return report


async def measure(arguments: Namespace) -> dict[str, list[Measured]]:
    """Every case once a round, so that a machine that slows down slows all of them down."""
    names = [BASELINE, *(name for name in arguments.only or CASES if name not in {BASELINE, API})]
    runs: dict[str, list[Measured]] = {name: [] for name in names}
    async with EmbeddedPostgres() as postgres:
        warehouse = await _database(postgres, "warehouse")
        connection = await asyncpg.connect(warehouse)
        await connection.execute(_MAKE_TABLE.replace("$1", str(arguments.rows)))
        await connection.execute("VACUUM ANALYZE people")
        await connection.close()
        for repeat in range(arguments.repeat):
            for name in names:
                store = await _database(postgres, f"store_{repeat}_{name}")
                await migrations.upgrade(store)
                runs[name].append(_run_case(name, warehouse, store))
    return runs


def _run_case(name: str, warehouse: str, store: str) -> Measured:
    with _sink(is_picky=name == PICKY) as url:
        command = [sys.executable, "-m", "tests.bench.case", name, warehouse, store, url]
        done = subprocess.run(command, check=True, capture_output=True, timeout=_CASE_S)
    return Measured(**orjson.loads(done.stdout))


@contextmanager
def _sink(*, is_picky: bool) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.bench.sink", *(["picky"] if is_picky else [])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout is None or process.stdin is None:
            raise RuntimeError("the sink has no pipes")
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/rows"
        process.stdin.close()


async def _database(postgres: EmbeddedPostgres, name: str) -> str:
    connection = await asyncpg.connect(postgres.dsn("postgres"))
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    return postgres.dsn(name)


def _row(runs: list[Measured], baseline: list[Measured]) -> dict[str, float]:
    rate, base = _rate(runs), _rate(baseline)
    return {
        "rows_per_s": round(rate),
        "ratio_to_naive": round(rate / base, 3),
        "cpu_s_per_million": round(statistics.median(run.cpu_s / run.rows * 1e6 for run in runs), 2),
        "peak_rss_mib": round(statistics.median(run.peak_rss_mib for run in runs), 1),
    }


def _rate(runs: list[Measured]) -> float:
    return statistics.median(run.rows / run.wall_s for run in runs)


def _print(report: dict[str, dict[str, float]], arguments: Namespace) -> None:
    title = f"{arguments.rows:,} rows of 10 columns, medians of {arguments.repeat} interleaved rounds"
    table = Table("case", *next(iter(report.values())), title=title)
    for name, row in report.items():
        table.add_row(name, *(f"{value:,}" for value in row.values()))
    Console().print(table)


def _arguments() -> Namespace:
    parser = ArgumentParser(prog="tests.bench", description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--only", action="append", choices=sorted([*CASES, API]), help="this case and the baseline")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--rate", type=int, default=300, help="api: starts a second")
    parser.add_argument("--seconds", type=int, default=20, help="api: for so long")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
