"""What the rigs of destinations that write to a service of people have in common."""

from collections.abc import Mapping

from tailrace.connector_kit.destination import Destination
from tailrace.core.rows import DELIVERED, Operation
from tailrace.testing.destination_contract import DestinationContract, Person, person, write
from tests.destinations.http_service import PeopleService
from tests.destinations.loopback_rig import LoopbackRig


class PeopleRig(LoopbackRig):
    object_name = "people"

    def __init__(self, destination: Destination, service: PeopleService) -> None:
        self.destination = destination
        self.service: PeopleService = service

    async def people(self) -> Mapping[str, Person]:
        return dict(self.service.people)

    async def refuse(self, name: str) -> None:
        self.service.refused_names.add(name)


class PeopleContract(DestinationContract):
    """What a destination over HTTP keeps besides."""

    async def test_answer_that_holds_every_row_again_is_read(self, rig: PeopleRig) -> None:
        rig.service.echoes = True

        outcomes = await write(rig, Operation.UPSERT, *(person(str(at), "x" * 5000) for at in range(300)))

        assert outcomes == [DELIVERED] * 300
