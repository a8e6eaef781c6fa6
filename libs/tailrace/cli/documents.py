"""`tailrace docs generate`: writes what is made from the code, so that a review shows how an interface changes."""

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer

from tailrace.runtime.lifecycle import EXIT_FAILED

DOCUMENTS_GROUP = "tailrace.documents"
"""The entry point group whose entries give files: their content by their path under the folder."""

Document = Callable[[], Mapping[str, bytes]]


def documents() -> typer.Typer:
    """The commands under `tailrace docs`."""
    command = typer.Typer(help="Documents that are made from the code.", no_args_is_help=True)
    command.command("generate")(_generate)
    return command


def made_documents() -> dict[str, bytes]:
    """Every generated file by its path, from all that is installed."""
    makers: list[Document] = [entry.load() for entry in sorted(entry_points(group=DOCUMENTS_GROUP))]
    return {path: body for maker in makers for path, body in maker().items()}


def _generate(
    *,
    folder: Annotated[Path, typer.Option(help="Where they are.")] = Path("deploy"),
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit code 1 if one is out of date.")] = False,
) -> None:
    """Write the API's and the events' descriptions and the page of settings anew."""
    stale = {folder / path: body for path, body in made_documents().items() if not _is(folder / path, body)}
    for path, body in stale.items():
        typer.echo(f"{'out of date' if check else 'written'}: {path}")
        if not check:
            _write(path, body)
    if check and stale:
        raise typer.Exit(EXIT_FAILED)


def _is(path: Path, body: bytes) -> bool:
    return path.exists() and path.read_bytes() == body


def _write(path: Path, body: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
