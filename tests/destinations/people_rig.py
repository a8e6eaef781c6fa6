"""What the rigs of destinations that write to a service of people have in common."""

from collections.abc import Mapping

from tailrace.connector_kit.destination import Destination
from tailrace.testing.destination_contract import Person
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
