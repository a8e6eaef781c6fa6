from collections.abc import Mapping

import pytest

from tailrace.bus.memory import MemoryBus
from tailrace.testing.bus_contract import PARTITIONS, BusContract, BusRig
from tailrace.testing.received import collect, values


class MemoryRig(BusRig):
    def __init__(self) -> None:
        self.bus: MemoryBus = MemoryBus(partitions=PARTITIONS)
        self.topic = "test.topic"
        self.bound_s = 10.0

    async def put_foreign(self, value: bytes | None, *, key: bytes | None, headers: Mapping[str, bytes]) -> None:
        self.bus.put(self.topic, value, key=key, headers=headers)

    async def go_down(self) -> None:
        self.bus.go_down()

    async def come_back(self) -> None:
        self.bus.come_back()


@pytest.fixture
def rig() -> MemoryRig:
    return MemoryRig()


class TestMemoryBus(BusContract):
    async def test_a_full_partition_loses_its_oldest_messages_alone(self) -> None:
        rig = MemoryRig()
        rig.bus = MemoryBus(partitions=1, kept_per_partition=10)
        await rig.bus.publish([rig.message(f"v{n}") for n in range(35)])

        async with rig.member("a") as member:
            received = await collect(member, 15)

        assert values(received) == [f"v{n}" for n in range(20, 35)]
        assert [message.offset for message in received] == list(range(20, 35))
