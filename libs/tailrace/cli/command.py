"""The `tailrace` command with all its parts."""

import typer

from tailrace.cli.access import tokens, workspaces
from tailrace.cli.audit import audit
from tailrace.cli.connectors import connectors
from tailrace.cli.database import database
from tailrace.cli.documents import documents
from tailrace.cli.kafka import kafka
from tailrace.cli.keys import keys
from tailrace.cli.local import add_local
from tailrace.cli.mappings import mappings
from tailrace.cli.services import add_services
from tailrace.cli.snapshots import snapshots


def build() -> typer.Typer:
    """The command with all its parts; the services are those that are installed."""
    command = typer.Typer(
        help="Reverse ETL: keep tools, databases and APIs in step with a warehouse.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    add_local(command)
    add_services(command)
    command.add_typer(database(), name="db")
    command.add_typer(kafka(), name="kafka")
    command.add_typer(workspaces(), name="workspace")
    command.add_typer(tokens(), name="token")
    command.add_typer(connectors(), name="connectors")
    command.add_typer(mappings(), name="mapping")
    command.add_typer(snapshots(), name="snapshots")
    command.add_typer(documents(), name="docs")
    command.add_typer(keys(), name="keys")
    command.add_typer(audit(), name="audit")
    return command
