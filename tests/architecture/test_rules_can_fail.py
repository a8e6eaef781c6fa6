"""Each rule of the house finds a planted break and leaves the right way alone."""

import pytest

from tests.architecture.rules import RULES
from tests.architecture.source import parse
from tests.architecture.text_rules import forbidden_in

PLANTED = "libs/tailrace/store/planted.py"
INIT = "libs/tailrace/store/__init__.py"
BY_NAME = {rule.name: rule for rule in RULES}

BROKEN = [
    ("a module has at most 350 lines", PLANTED, "x = 1\n" * 351),
    ("a function has at most 60 lines", PLANTED, "def f():\n" + "    x = 1\n" * 60),
    ("a public name has a docstring", PLANTED, "x = 1"),
    ("a public name has a docstring", PLANTED, '"""Doc."""\ndef f(): ...'),
    ("a public name has a docstring", PLANTED, '"""Doc."""\nclass A: ...'),
    (
        "a public name has a docstring",
        PLANTED,
        '"""Doc."""\nclass A(Protocol):\n  """Doc."""\n  def f(self): ...',
    ),
    ("__init__.py holds a docstring only", INIT, '"""Doc."""\nfrom a import b'),
    ("__init__.py holds a docstring only", INIT, ""),
    ("imports stand at the top", PLANTED, "def f():\n    import json"),
    ("no import for type checkers alone", PLANTED, "if TYPE_CHECKING:\n    from a import b"),
    ("no import for type checkers alone", PLANTED, "if typing.TYPE_CHECKING:\n    from a import b"),
    ("our own code is not mocked", PLANTED, "from unittest.mock import patch"),
    ("our own code is not mocked", PLANTED, "from unittest import mock"),
    ("our own code is not mocked", PLANTED, "import unittest.mock"),
    ("our own code is not mocked", PLANTED, "monkeypatch.setattr('tailrace.store.runs.claim', f)"),
    (
        "our own code is not mocked",
        PLANTED,
        "from tailrace.store import runs\nm.setattr(runs.Runs, 'claim', f)",
    ),
    ("everything is caught at listed edges only", PLANTED, "try: f()\nexcept Exception: pass"),
    ("everything is caught at listed edges only", PLANTED, "try: f()\nexcept (OSError, BaseException): pass"),
    ("everything is caught at listed edges only", PLANTED, "try: f()\nexcept: pass"),
    ("everything is caught at listed edges only", PLANTED, "with suppress(Exception): f()"),
    ("a task lives in a TaskGroup", PLANTED, "asyncio.create_task(f())"),
    ("a task lives in a TaskGroup", PLANTED, "create_task(f())"),
    ("a task lives in a TaskGroup", PLANTED, "asyncio.ensure_future(f())"),
    ("a task lives in a TaskGroup", PLANTED, "asyncio.get_running_loop().create_task(f())"),
    ("a queue has a bound", PLANTED, "q = asyncio.Queue()"),
    ("waiting for a connection has a timeout", PLANTED, "pool.acquire()"),
    ("a secret is compared in constant time", PLANTED, "found == row['secret_hmac']"),
    ("a secret is compared in constant time", PLANTED, "text[-6:] != _checksum(text)"),
    ("a silenced warning says why", PLANTED, "x = 1  # noqa: S105"),
    ("a silenced warning says why", PLANTED, "x = 1  # type: ignore[arg-type]"),
    ("a silenced warning says why", PLANTED, "x = 1  # type: ignore[arg-type]  # noqa: S105, S106"),
]

KEPT = [
    (
        "a public name has a docstring",
        PLANTED,
        '"""Doc."""\nclass Suite:\n  """Doc."""\n  def test_a_promise(self): ...',
    ),
    ("a module has at most 350 lines", PLANTED, "x = 1\n" * 350),
    ("a function has at most 60 lines", PLANTED, "def f():\n" + "    x = 1\n" * 59),
    ("a secret is compared in constant time", PLANTED, "hmac.compare_digest(signature, wanted)"),
    ("a secret is compared in constant time", PLANTED, "self.token is None or token == ''"),
    ("a public name has a docstring", PLANTED, '"""Doc."""\ndef _f(): ...\nclass _A: ...'),
    (
        "a public name has a docstring",
        PLANTED,
        '"""Doc."""\nclass A(Destination):\n  """Doc."""\n  def f(self): ...',
    ),
    ("__init__.py holds a docstring only", INIT, '"""Doc."""'),
    ("imports stand at the top", PLANTED, "import json\ndef f(): ..."),
    ("our own code is not mocked", PLANTED, "monkeypatch.setattr(os, 'environ', {})"),
    ("everything is caught at listed edges only", PLANTED, "try: f()\nexcept OSError: pass"),
    ("everything is caught at listed edges only", PLANTED, "try: f()\nexcept BaseException:\n  undo()\n  raise"),
    (
        "a task lives in a TaskGroup",
        PLANTED,
        "async def f():\n  async with TaskGroup() as tg: tg.create_task(g())",
    ),
    (
        "a task lives in a TaskGroup",
        PLANTED,
        "async def f():\n  async with side_by_side() as tasks: tasks.create_task(g())",
    ),
    ("a task lives in a TaskGroup", PLANTED, "def f(tasks: asyncio.TaskGroup): tasks.create_task(g())"),
    (
        "a task lives in a TaskGroup",
        PLANTED,
        "class A:\n  def __init__(self, t: TaskGroup): self._t = t\n  def f(self): self._t.create_task(g())",
    ),
    ("a queue has a bound", PLANTED, "q = asyncio.Queue(8)"),
    ("waiting for a connection has a timeout", PLANTED, "pool.acquire(timeout=wait_s)"),
    ("a silenced warning says why", PLANTED, "x = 1  # noqa: S105  the name of a field, no password"),
    ("a silenced warning says why", "services/x.py", "x = 1  # type: ignore[misc]  # stubs lag behind"),
]


@pytest.mark.parametrize(("rule", "path", "text"), BROKEN, ids=range(len(BROKEN)))
def test_planted_break_is_found(rule: str, path: str, text: str) -> None:
    module = parse(path, text)

    breaks = BY_NAME[rule].breaks(module)

    assert len(breaks) == 1


@pytest.mark.parametrize(("rule", "path", "text"), KEPT, ids=range(len(KEPT)))
def test_right_way_is_left_alone(rule: str, path: str, text: str) -> None:
    module = parse(path, text)

    breaks = BY_NAME[rule].breaks(module)

    assert breaks == []


def test_every_rule_has_a_planted_break() -> None:
    planted = {name for name, _, _ in BROKEN}

    assert BY_NAME.keys() == planted


@pytest.mark.parametrize(
    "text",
    [
        "see /ro" + "ot/notes",
        "COPY /ho" + "me/anna/x .",
        "--extra-ind" + "ex-url https://x",
        "pip install --ind" + "ex-url x",
        "--find-" + "links /x",
        "../sha" + "red/design",
    ],
)
def test_forbidden_text_is_found(text: str) -> None:
    found = forbidden_in(f"first line\n{text}\n")

    assert len(found) == 1
    assert found[0].startswith("2: ")


@pytest.mark.parametrize("text", ["/opt/tailrace/work/x", "https://example.com/work/1", "$HOME/work/x", "a/root/b"])
def test_harmless_text_is_left_alone(text: str) -> None:
    assert forbidden_in(text) == []
