"""Whose turn it is: a workspace with ten thousand runs in the queue does not keep those of others waiting."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from tailrace.core.clock import Clock
from tailrace.core.ids import WorkspaceId

_LOOK_EVERY_S = 1.0


@dataclass(slots=True)
class Turns:
    """How much of an executor's room each workspace has.

    With as much as its share or more, it waits until nobody else does; `most_of_one` it never has more of. Whether
    others wait is looked up once a second, since all that is queued has to be looked through for it.
    """

    clock: Clock
    room: int
    most_of_one: int
    held: Counter[WorkspaceId] = field(default_factory=Counter)
    look_at: float = 0.0

    def begin(self, workspace_id: WorkspaceId) -> None:
        """A run of the workspace begins."""
        self.held[workspace_id] += 1

    def end(self, workspace_id: WorkspaceId) -> None:
        """It has ended."""
        self.held[workspace_id] -= 1
        if not self.held[workspace_id]:
            del self.held[workspace_id]

    @property
    def crowding(self) -> Collection[WorkspaceId]:
        """Those that let others go first now; none until it is time to look."""
        if self.clock.monotonic() < self.look_at:
            return ()
        share = self.room / (len(self.held) + 1)
        return [workspace_id for workspace_id, runs in self.held.items() if runs >= share]

    @property
    def full(self) -> Collection[WorkspaceId]:
        """Those that have as much as they ever may."""
        return [workspace_id for workspace_id, runs in self.held.items() if runs >= self.most_of_one]

    def nobody_else_waits(self) -> None:
        """Look again in a while."""
        self.look_at = self.clock.monotonic() + _LOOK_EVERY_S
