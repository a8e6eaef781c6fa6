"""How a command does its work: settings in, an answer on stdout, logs on stderr, an exit code.

Exit codes: 0 done, 1 it did not work, 2 what was given cannot work.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, NoReturn, TypeVar

import orjson
import typer

from tailrace.core.errors import Invalid, TailraceError, Unavailable
from tailrace.observe.logs import configure_logs
from tailrace.runtime.chassis import open_database
from tailrace.runtime.lifecycle import EXIT_FAILED, EXIT_USAGE
from tailrace.runtime.settings import SomeSettings, StoreSettings, load_settings
from tailrace.store.database import Database, rights_told
from tailrace.store.readiness import Readiness

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]

Found = TypeVar("Found")

_LONGEST_S = 900.0


@asynccontextmanager
async def open_store(settings: StoreSettings) -> AsyncIterator[Database]:
    """The state store, whose schema is that of this release.

    :raises StoreUnavailable: it is not, or it does not answer.
    """
    async with open_database(settings, "cli") as database:
        await Readiness(database, settings.database_url.get_secret_value()).check_schema()
        yield database


def do(
    kind: type[SomeSettings], work: Callable[[SomeSettings], Awaitable[Found]], *, longest_s: float = _LONGEST_S
) -> Found:
    """What the work gives; a failure ends the process with its message on stderr."""
    try:
        settings = load_settings(kind)
        configure_logs(level="warning", form="console", bound={})
        return asyncio.run(_bounded(work(settings), longest_s))
    except TailraceError as error:
        fail(error)


def answer(facts: Mapping[str, object], *, as_json: bool, text: str) -> None:
    """Print what a command found out, for machines or for people."""
    typer.echo(orjson.dumps(facts).decode() if as_json else text)


def fail(error: TailraceError) -> NoReturn:
    """End the command with the error's message and code."""
    sys.stderr.write(f"tailrace: {error.message}\n")
    raise typer.Exit(EXIT_USAGE if isinstance(error, Invalid) else EXIT_FAILED)


async def _bounded(work: Awaitable[Found], longest_s: float) -> Found:
    try:
        async with asyncio.timeout(longest_s):
            with rights_told():
                return await work
    except TimeoutError as error:
        raise Unavailable(f"no answer within {longest_s:g} s") from error
