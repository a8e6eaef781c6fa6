"""Where a soak does its trials: a server, a template of the state store, and a folder for logs."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tailrace.core.syncs import SyncMode
from tests.faults.ground import open_ground
from tests.faults.trial import Trial, open_trial
from tests.fixtures.postgres import PostgresServer


@dataclass(frozen=True, slots=True)
class Site:
    """Shared by all trials of a soak; each has its own databases."""

    server: PostgresServer
    template: str
    folder: Path

    @asynccontextmanager
    async def trials(self, modes: Sequence[SyncMode]) -> AsyncIterator[list[Trial]]:
        """A trial in each mode, on a ground of their own."""
        with TemporaryDirectory(dir=self.folder) as logs:
            async with (
                self.server.fresh_database(template=self.template) as state,
                open_ground(self.server.dsn(state), Path(logs)) as ground,
                AsyncExitStack() as stack,
            ):
                yield [await stack.enter_async_context(open_trial(self.server, ground, mode)) for mode in modes]
