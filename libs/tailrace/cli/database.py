"""`tailrace db`: the schema of the state store."""

import typer

from tailrace.cli.work import AsJson, answer, do
from tailrace.runtime.lifecycle import EXIT_FAILED
from tailrace.runtime.settings import StoreSettings
from tailrace.store.migrations import pending, upgrade


def database() -> typer.Typer:
    """The commands under `tailrace db`."""
    command = typer.Typer(help="The schema of the state store.", no_args_is_help=True)
    command.command("upgrade")(_upgrade)
    command.command("status")(_status)
    return command


def _upgrade(*, as_json: AsJson = False) -> None:
    """Bring the schema to this release; safe to run twice, or from several places at once."""
    applied = do(StoreSettings, lambda settings: upgrade(settings.database_url.get_secret_value()))
    lines = [f"applied {name}" for name in applied] or ["at head already"]
    answer({"applied": applied}, as_json=as_json, text="\n".join(lines))


def _status(*, as_json: AsJson = False) -> None:
    """Say which migrations are missing; exit code 1 if any is."""
    missing = do(StoreSettings, lambda settings: pending(settings.database_url.get_secret_value()))
    lines = [f"missing {name}" for name in missing] or ["at head"]
    answer({"missing": missing}, as_json=as_json, text="\n".join(lines))
    if missing:
        raise typer.Exit(EXIT_FAILED)
