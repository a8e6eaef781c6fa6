"""The way into the `tailrace` command: quiet about Ctrl-C while all the rest is loaded."""

import signal
from importlib import import_module

_COMMAND = "tailrace.cli.command"


def app() -> None:
    """Run the command line of this process.

    Ctrl-C ends it at once where nothing has begun; from then on the command sees to its own end.
    """
    kept = signal.signal(signal.SIGINT, signal.SIG_DFL)
    command = import_module(_COMMAND).build()
    signal.signal(signal.SIGINT, kept)
    command()
