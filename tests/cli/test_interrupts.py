"""Ctrl-C before a command has begun: nothing to drain, and nothing to say."""

import signal
import sys

import pytest

from tests.cli.commands import run

# Presses Ctrl-C at the moment when the module is looked for, then runs the command. Tests may themselves run
# behind `nohup` or `&`, where Ctrl-C is ignored, and what is ignored is inherited.
_PRESSED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
class Finger:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finger())
from tailrace.cli.main import app
sys.argv = ["tailrace", *{arguments!r}]
app()
"""


@pytest.mark.parametrize(
    ("module", "arguments", "code"),
    [
        ("typer", ["demo"], -signal.SIGINT),
        ("tailrace.runtime.settings", ["demo"], -signal.SIGINT),
        ("tailrace_gateway.__main__", ["demo"], 130),
        ("tailrace_gateway.__main__", ["gateway"], 130),
    ],
    ids=["first import", "one of ours", "services of the demo", "service"],
)
async def test_ctrl_c_while_code_is_loaded_ends_it_quietly(module: str, arguments: list[str], code: int) -> None:
    ended = await run(sys.executable, "-c", _PRESSED.format(module=module, arguments=arguments))

    assert (ended.code, ended.stdout, ended.stderr) == (code, "", "")
