"""What every benchmark is told on its command line, and where its figures go."""

import os
import platform
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path

import orjson

from tests.bench.report import Report, printed, written
from tests.bench.work import ROWS_PER_REQUEST


def parser_of(program: str, description: str | None, names: Iterable[str]) -> ArgumentParser:
    """The options that all have; `--only` takes these names."""
    parser = ArgumentParser(prog=program, description=description)
    parser.add_argument("--rows", type=rows_of, default=200_000, help="of the table; it is kept for the next time")
    parser.add_argument("--only", action="append", choices=sorted(names), metavar="NAME", help="a case")
    parser.add_argument("--repeat", type=int, default=3, help="rounds, of which the median counts")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures there")
    parser.add_argument("--markdown", type=Path, metavar="PATH", help="write the table there, for the documentation")
    return parser


def report_to(
    arguments: Namespace, report: Report, what: Mapping[str, str], more: Mapping[str, object] | None = None
) -> None:
    """Print figures, and write them where they are asked for, with facts that explain them."""
    printed(report, f"{arguments.rows:,} rows of 10 columns, medians of {arguments.repeat} interleaved rounds")
    facts = {**_facts(arguments), **(more or {})}
    if arguments.json:
        arguments.json.write_bytes(orjson.dumps({**facts, "cases": report}, option=orjson.OPT_INDENT_2))
    if arguments.markdown:
        arguments.markdown.write_text(written(report, facts, what))


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


def rows_of(told: str) -> int:
    """A number of rows that come in whole requests.

    :raises ArgumentTypeError: another one.
    """
    rows = int(told)
    if rows < 1 or rows % ROWS_PER_REQUEST:
        raise ArgumentTypeError(f"whole requests only: a multiple of {ROWS_PER_REQUEST}")
    return rows
