"""A mechanism switched off by a small change of text, and the tests that have to notice."""

from dataclasses import dataclass
from pathlib import Path

SIMULATION = "tests/simulation/test_simulation.py::test_every_story_ends_well[0]"
STORIES = 500
"""So many of them are told where the simulation has to notice."""


class Outdated(Exception):
    """The text that is to be changed is not there, or not once."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """`name` says what is missing then; the change is made in the one place of `path` that reads `old`."""

    name: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]

    def mutated(self, root: Path) -> str:
        """The file with the mechanism off.

        :raises Outdated: say so, and mend the mutation.
        """
        text = (root / self.path).read_text()
        if text.count(self.old) != 1:
            raise Outdated(f"{self.name}: {self.path} holds the text {text.count(self.old)} times, not once")
        return text.replace(self.old, self.new)
