"""`tailrace keys`: the key that secrets are sealed with."""

import base64
import os

import typer

_KEY_SIZE_BYTES = 32


def keys() -> typer.Typer:
    """The commands under `tailrace keys`."""
    command = typer.Typer(help="The key that secrets are sealed with.", no_args_is_help=True)
    command.command("new")(_new)
    return command


def _new() -> None:
    """Print a fresh value for TAILRACE_SECRET_KEY; to rotate, put it before the one in use, after a comma."""
    typer.echo(base64.b64encode(os.urandom(_KEY_SIZE_BYTES)).decode())
