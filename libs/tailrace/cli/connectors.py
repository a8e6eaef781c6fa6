"""`tailrace connectors`: what can be used here, a new one to begin with, and a judgement on one's file."""

import asyncio
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

from tailrace.cli.work import AsJson, answer
from tailrace.connector_kit import registry
from tailrace.connector_kit.manifest.judge import judge
from tailrace.connector_kit.manifest.lines import Problem
from tailrace.connector_kit.manifest.report import report
from tailrace.connector_kit.manifest.scaffold import built_in, package
from tailrace.runtime.lifecycle import EXIT_FAILED, EXIT_USAGE

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_BUILT_IN = Path("libs/tailrace/destinations")


def connectors() -> typer.Typer:
    """The commands under `tailrace connectors`."""
    command = typer.Typer(help="Connectors: sources and destinations.", no_args_is_help=True)
    command.command("list")(_list)
    command.command("new")(_new)
    command.command("check")(_check)
    return command


def _list(*, as_json: AsJson = False) -> None:
    """Print the connectors that can be used here, with their level."""
    found = [
        {"kind": each.kind, "name": each.name, "label": each.label, "level": each.level}
        for each in registry.catalogue()
    ]
    lines = [f"{each['kind']:<12} {each['name']:<16} {each['level'] or '':<7} {each['label']}" for each in found]
    answer({"connectors": found}, as_json=as_json, text="\n".join(lines))


def _new(
    name: Annotated[str, typer.Argument(help="Its name in the API: small letters, digits and _.")],
    *,
    folder: Annotated[Path, typer.Option(help="Where to begin.")] = Path(),
) -> None:
    """Write a destination that works against a made-up vendor, and its test: in Tailrace itself, or as a package."""
    if not _NAME.fullmatch(name):
        _misused(f"{name!r} is no name for a connector: use small letters, digits and _, such as my_crm")
    if name in registry.names("destination"):
        _misused(f"there is a destination {name!r} already")
    is_inside = (folder / _BUILT_IN).is_dir()
    make = built_in if is_inside else package
    files = {folder / path: text for path, text in make(name, today=_today()).items()}
    taken = [str(path) for path in files if path.exists()]
    if taken:
        _misused(f"these files are there already: {', '.join(taken)}")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        typer.echo(f"written: {path}")
    first = next(iter(files))
    check, install = f"tailrace connectors check {first}", f"pip install -e {first.parent}, then pytest {first.parent}"
    typer.echo(f"next: {check if is_inside else install}")


def _check(
    file: Annotated[Path, typer.Argument(help="A connector's Python file.")],
    *,
    requests: Annotated[bool, typer.Option("--requests", help="Print the requests that it makes.")] = False,
) -> None:
    """Load a destination and try it against the vendor that it describes; exit code 1 if something is wrong."""
    text = file.read_text() if file.is_file() else ""
    judgement = asyncio.run(judge(file, text, today=_today()))
    _tell(file, judgement.problems, "error")
    _tell(file, judgement.advice, "advice")
    if requests and judgement.destination is not None:
        typer.echo(asyncio.run(report(judgement.destination)))
    if judgement.problems:
        raise typer.Exit(EXIT_FAILED)
    typer.echo(f"{file}: every promise holds that can be tried without the vendor")


def _tell(file: Path, problems: Sequence[Problem], kind: str) -> None:
    for problem in problems:
        typer.echo(f"{file}:{problem.line}: {kind}: {problem.place}: {problem.what}")


def _misused(why: str) -> None:
    typer.echo(f"tailrace: {why}", err=True)
    raise typer.Exit(EXIT_USAGE)


def _today() -> date:
    return datetime.now(UTC).date()
