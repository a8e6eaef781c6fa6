"""How figures are shown: a table for people, a page for the documentation."""

from argparse import Namespace
from collections.abc import Mapping
from typing import TypeAlias

from rich.console import Console
from rich.table import Table

from tests.bench.case import CASES

Figures: TypeAlias = Mapping[str, float]
Report: TypeAlias = dict[str, Figures]

_OF_ROWS = ("rows_per_s", "ratio_to_naive", "cpu_s_per_million", "peak_rss_mib")


def printed(report: Report, arguments: Namespace) -> None:
    """Print the table of rows, and a line for each case that counts something else."""
    console = Console(width=120)
    of_rows = {name: figures for name, figures in report.items() if "rows_per_s" in figures}
    if of_rows:
        title = f"{arguments.rows:,} rows of 10 columns, medians of {arguments.repeat} interleaved rounds"
        table = Table("case", *_OF_ROWS, title=title)
        for name, figures in of_rows.items():
            table.add_row(name, *(_told(figures[column]) for column in _OF_ROWS))
        console.print(table)
    for name in report.keys() - of_rows.keys():
        console.print(f"{name}: {_line(report[name])}")


def written(report: Report, facts: Mapping[str, object]) -> str:
    """The same as a part of a page."""
    told = ", ".join(f"{name} {value}" for name, value in facts.items())
    lines = [f"Measured with: {told}.", "", "| case | " + " | ".join(_OF_ROWS) + " |", "|---|---:|---:|---:|---:|"]
    of_rows = {name: figures for name, figures in report.items() if "rows_per_s" in figures}
    for name, figures in of_rows.items():
        cells = " | ".join(_told(figures[column]) for column in _OF_ROWS)
        lines.append(f"| `{name}`: {CASES[name].what if name in CASES else name} | {cells} |")
    others = [f"- `{name}`: {_line(figures)}" for name, figures in report.items() if name not in of_rows]
    return "\n".join([*lines, "", *others, ""])


def _line(figures: Figures) -> str:
    return ", ".join(f"{name} {_told(value)}" for name, value in figures.items())


def _told(value: float) -> str:
    return f"{value:,}"
