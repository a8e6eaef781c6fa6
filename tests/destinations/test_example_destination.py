"""The destination that the contributor's guide shows is a whole one."""

import re
from pathlib import Path
from types import ModuleType

import pytest

from tailrace.connector_kit.destination import Destination, Target
from tailrace.core.batches import Batch
from tailrace.core.errors import CredentialsRefused
from tailrace.core.rows import DELIVERED, Operation, Row, RowKey, rejected
from tailrace.core.snapshots import hash_row
from tailrace.testing.fake_http import FakeHttp, answer

GUIDE = Path(__file__).parents[2] / ".github" / "CONTRIBUTING.md"
TARGET = Target("note", Operation.UPSERT, ("id",), ("id", "text"))
ROWS = [Row(RowKey((key,)), body, hash_row(body)) for key, body in (("1", b'{"id":"1"}'), ("2", b'{"id":"2"}'))]
BATCH = Batch(Operation.UPSERT, ROWS, "key")


@pytest.fixture
def example() -> ModuleType:
    """The module that the guide shows."""
    [code] = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    module = ModuleType("notes")
    exec(compile(code, str(GUIDE), "exec"), vars(module))
    return module


async def test_example_tells_the_fate_of_each_row(example: ModuleType) -> None:
    results = [{"status": "ok"}, {"status": "rejected", "code": "EMPTY", "message": "no text"}]
    http = FakeHttp(answer(200, {"results": results}))

    async with example.NotesDestination.open(example.NotesSettings(token="t"), http) as destination:
        written = await destination.write(await destination.plan(TARGET), BATCH)

    assert list(written.outcomes) == [DELIVERED, rejected("EMPTY", "no text")]
    assert http.requests[0].body == b'{"notes":[{"id":"1"},{"id":"2"}]}'
    assert issubclass(example.NotesDestination, Destination)


async def test_example_refuses_to_go_on_without_credentials(example: ModuleType) -> None:
    http = FakeHttp(answer(401))

    async with example.NotesDestination.open(example.NotesSettings(token="t"), http) as destination:
        with pytest.raises(CredentialsRefused):
            await destination.check()
