"""`tailrace dev` and `tailrace demo`: the platform on this machine."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tailrace.cli.services import load_services
from tailrace.embedded.demo import DemoOptions, demo
from tailrace.embedded.dev import dev
from tailrace.embedded.platform import Options
from tailrace.observe.logs import configure_logs
from tailrace.runtime.lifecycle import run_process


class LogLevel(StrEnum):
    """Least level that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


Port = Annotated[int, typer.Option(help="Port of the API and of /docs; 0 takes a free one.", min=0, max=65_535)]
Level = Annotated[LogLevel, typer.Option(help="Least level that is logged, on stderr.")]


def add_local(command: typer.Typer) -> None:
    """Give the command `dev` and `demo`."""
    command.command("dev")(_dev)
    command.command("demo")(_demo)


def _dev(
    *,
    data_dir: Annotated[
        Path | None, typer.Option(help="Directory that keeps everything; without one all is gone at the end.")
    ] = None,
    port: Port = 8080,
    as_json: Annotated[
        bool, typer.Option("--json", help="Say where it is as one JSON object, first on stdout.")
    ] = False,
    log_level: Level = LogLevel.WARNING,
) -> None:
    """Run all services in one process, on a PostgreSQL and a bus in the box."""
    configure_logs(level=log_level, form="console", bound={})
    options = Options(data_dir=data_dir, port=port)
    raise typer.Exit(run_process(lambda: dev(load_services(), options, as_json=as_json)))


def _demo(
    *,
    once: Annotated[bool, typer.Option("--once", help="End after the last run; exit code 1 if it went wrong.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a run, and nothing else.")] = False,
    port: Port = 0,
    log_level: Level = LogLevel.ERROR,
) -> None:
    """Play with 10,000 customers, a CRM and two runs on this machine; needs no server and leaves nothing behind."""
    configure_logs(level=log_level, form="console", bound={})
    options = DemoOptions(port=port, once=once, as_json=as_json)
    raise typer.Exit(run_process(lambda: demo(load_services(), options)))
