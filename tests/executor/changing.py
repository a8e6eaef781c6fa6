"""A table of people that changes in all ways, and what a run has to do about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

Row = tuple[str, int]


class Rows(Protocol):
    """Rows of a table with the columns `id`, `email` and `at`."""

    async def put(self, rows: Mapping[int, Row]) -> None:
        """Write rows down, over those with the same id."""
        ...

    async def remove(self, ids: Sequence[int]) -> None:
        """Delete rows."""
        ...


@dataclass
class ChangingTable:
    """What the people are, and how they change; `at` changes with every row that does."""

    rows: Rows
    chance: Random
    most: int
    people: dict[int, Row] = field(default_factory=dict)
    moment: int = 0

    async def fill(self) -> None:
        """Put four people of five down."""
        self.people = {key: (f"first@{key}", 0) for key in range(self.most) if key % 5}
        await self.rows.put(self.people)

    async def change(self) -> tuple[int, int]:
        """Change some, touch some, add some, remove some; gives how many are to be sent, and how many deleted."""
        self.moment += 1
        part = self.chance.choice([0, 0.0005, 0.002, 0.02, 0.2, 0.6])
        before = self.people
        touched = {key: (email, self.moment) for key, (email, _) in self._some(part / 2)}
        changed = {key: (f"{self.moment}@{key}", self.moment) for key, _ in self._some(part)}
        near = self.chance.randrange(self.most)
        added = range(near, min(self.most, near + int(self.chance.choice([0, part, 0.1]) * self.most)))
        put = touched | changed | {key: (f"new@{key}", self.moment) for key in added if key not in before}
        removed = {key for key, _ in self._some(self.chance.choice([0, part / 5]))} - put.keys()
        await self.rows.put(put)
        await self.rows.remove(list(removed))
        self.people = {key: row for key, row in (before | put).items() if key not in removed}
        sent = sum(key not in before or before[key][0] != email for key, (email, _) in put.items())
        return sent, len(removed)

    def _some(self, part: float) -> list[tuple[int, Row]]:
        return self.chance.sample(sorted(self.people.items()), int(part * len(self.people)))
