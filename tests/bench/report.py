"""How figures are shown: a table for people, a page for the documentation."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from rich.console import Console
from rich.table import Table

Figures: TypeAlias = Mapping[str, float]
Report: TypeAlias = dict[str, Figures]

_RATE = "rows_per_s"


def printed(report: Report, title: str) -> None:
    """Print the table of what counts rows, and a line for each case that counts something else."""
    console = Console(width=120)
    if rows := _of_rows(report):
        columns = _columns(rows)
        table = Table("case", *columns, title=title)
        for name, figures in rows.items():
            table.add_row(name, *_cells(figures, columns))
        console.print(table)
    for name in report.keys() - rows.keys():
        console.print(f"{name}: {_line(report[name])}")


def written(report: Report, facts: Mapping[str, object], what: Mapping[str, str]) -> str:
    """The same as a part of a page, each case with what it is."""
    rows = _of_rows(report)
    columns = _columns(rows)
    told = ", ".join(f"{name} {value}" for name, value in facts.items())
    head = ["| case | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)] if rows else []
    body = [f"| `{name}`: {what[name]} | {' | '.join(_cells(figures, columns))} |" for name, figures in rows.items()]
    others = [f"- `{name}`: {_line(figures)}" for name, figures in report.items() if name not in rows]
    return "\n".join([f"Measured with: {told}.", "", *head, *body, "", *others, ""])


def _of_rows(report: Report) -> Report:
    return {name: figures for name, figures in report.items() if _RATE in figures}


def _columns(rows: Report) -> Sequence[str]:
    return list(dict.fromkeys(column for figures in rows.values() for column in figures))


def _cells(figures: Figures, columns: Sequence[str]) -> Sequence[str]:
    return [f"{figures[column]:,}" if column in figures else "" for column in columns]


def _line(figures: Figures) -> str:
    return ", ".join(f"{name} {value:,}" for name, value in figures.items())
