"""One broker for many processes."""

import json
import os
import signal
from pathlib import Path

import pytest

from tailrace.core.errors import Unavailable
from tailrace.embedded.ports import is_free
from tailrace.testing.file_locks import is_held
from tailrace.testing.kafka_probe import has_broker
from tailrace.testing.kafka_shared import SharedKafka
from tests.embedded.processes import an_owner, eventually

pytestmark = pytest.mark.kafka

LONGER_THAN_A_LOOK_S = 1.5

USES_THE_BROKER = """
import asyncio, json, pathlib, sys
from tailrace.testing.kafka_shared import SharedKafka
async def main():
    async with SharedKafka(pathlib.Path(sys.argv[1])).used() as bootstrap:
        print(json.dumps({"bootstrap": bootstrap}), flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""


def broker_pid(directory: Path) -> int:
    found: int = json.loads((directory / "broker.json").read_text())["broker"]
    return found


async def has_ended(shared: SharedKafka) -> bool:
    return await eventually(lambda: not is_held(shared.directory / "guard.lock"), 30)


async def test_broker_serves_all_users_and_ends_with_the_last_however_it_ends(tmp_path: Path) -> None:
    shared = SharedKafka(tmp_path)
    with an_owner(USES_THE_BROKER, str(tmp_path)) as first, an_owner(USES_THE_BROKER, str(tmp_path)) as last:
        address, other_address = (await first.told())["bootstrap"], (await last.told())["bootstrap"]

        first.kill()
        serves_the_other = await has_broker(address)
        last.kill()

        assert address == other_address
        assert serves_the_other
        assert await has_ended(shared)
        assert not (tmp_path / "broker").exists()


async def test_kept_broker_stays_until_it_is_released(tmp_path: Path) -> None:
    shared = SharedKafka(tmp_path)
    address = await shared.keep()
    async with shared.used() as used:
        with pytest.raises(Unavailable, match="ends with them"):
            await shared.release()
        await shared.keep()
    ends_without_users = await eventually(lambda: not is_held(tmp_path / "guard.lock"), LONGER_THAN_A_LOOK_S)

    told = await shared.release()

    assert used == address
    assert not ends_without_users
    assert told == "no broker runs"
    assert await has_ended(shared)


async def test_broker_that_died_is_replaced_for_the_next_user(tmp_path: Path) -> None:
    shared = SharedKafka(tmp_path)
    async with shared.used() as first:
        os.kill(broker_pid(tmp_path), signal.SIGKILL)
        assert await eventually(lambda: is_free(int(first.rpartition(":")[2])))

        async with shared.used() as second:
            assert second != first
            assert await has_broker(second)

    assert await has_ended(shared)
