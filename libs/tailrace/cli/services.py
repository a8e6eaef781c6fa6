"""`tailrace gateway` and its like: a command for each service that is installed."""

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points

import typer

from tailrace.runtime.lifecycle import main
from tailrace.runtime.service import Service

SERVICES_GROUP = "tailrace.services"
"""The entry point group whose entries are services, by their names."""


def add_services(command: typer.Typer) -> None:
    """Give the command a subcommand for each service; its code is loaded when it is called."""
    for entry in sorted(entry_points(group=SERVICES_GROUP)):
        command.command(entry.name, help=f"Run the service {entry.name} until SIGTERM or Ctrl-C.")(_serving(entry))


def load_services() -> list[Service]:
    """All services that are installed."""
    return [_load(entry) for entry in sorted(entry_points(group=SERVICES_GROUP))]


def _serving(entry: EntryPoint) -> Callable[[], None]:
    def serve() -> None:
        main(_load(entry))

    return serve


def _load(entry: EntryPoint) -> Service:
    service = entry.load()
    if not isinstance(service, Service):
        raise TypeError(f"the entry point {entry.name} of {SERVICES_GROUP} is no Service")
    return service
