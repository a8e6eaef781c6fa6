"""`tailrace keys`: the key that secrets are sealed with."""

import base64
import os
from dataclasses import asdict

import typer

from tailrace.cli.deeds import record_everywhere
from tailrace.cli.work import AsJson, answer, do, open_store
from tailrace.runtime.lifecycle import EXIT_FAILED
from tailrace.runtime.settings import Settings
from tailrace.store.key_rotation import KeyRotation, Rotated

_KEY_SIZE_BYTES = 32


def keys() -> typer.Typer:
    """The commands under `tailrace keys`."""
    command = typer.Typer(help="The key that secrets are sealed with.", no_args_is_help=True)
    command.command("new")(_new)
    command.command("rotate")(_rotate)
    return command


def _new() -> None:
    """Print a fresh value for TAILRACE_SECRET_KEY; to rotate, put it before the one in use, after a comma."""
    typer.echo(base64.b64encode(os.urandom(_KEY_SIZE_BYTES)).decode())


def _rotate(*, as_json: AsJson = False) -> None:
    """Seal everything anew with the first key of TAILRACE_SECRET_KEY; exit code 1 if the others are still needed."""

    async def rotate(settings: Settings) -> Rotated:
        async with open_store(settings) as database:
            box = settings.secret_box()
            await record_everywhere(database, box, "rotateKeys", box.sealing_id.hex())
            return await KeyRotation(database, box).rotate()

    done = do(Settings, rotate)
    sealed = f"{done.connections} connections, {done.dead_letters} dead letters, {done.audit_chains} audit chains"
    lines = [f"sealed anew: {sealed}"]
    if done.unreadable:
        lines.append(f"no key of the ring opens: {', '.join(done.unreadable)}")
    if done.tokens_left:
        lines.append(f"{done.tokens_left} tokens still need a former key: use each once, or make new ones")
    answer(asdict(done), as_json=as_json, text="\n".join(lines))
    if done.unreadable or done.tokens_left:
        raise typer.Exit(EXIT_FAILED)
