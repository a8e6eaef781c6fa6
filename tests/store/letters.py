"""Dead letters as executors write them: by checkpoints of runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tailrace.core.ids import DeadLetterId, RunId, SyncId, WorkspaceId, new_sync_id
from tailrace.core.outgoing import OutgoingEvent
from tailrace.core.rows import Operation, RowKey
from tailrace.core.runs import Books, RunStatus
from tailrace.core.settlements import NewDeadLetter, Position, Settlement, dedupe_key
from tailrace.core.snapshots import hash_row
from tailrace.store.checkpoints import Checkpoints, Place
from tailrace.store.database import Database
from tailrace.store.dead_letters import DeadLetters
from tailrace.store.replays import ReplayRequest, Replays
from tailrace.store.runs import NewRun, Runs
from tailrace.store.secrets import SecretBox
from tailrace.store.shards import Claim, Ending, Shards
from tests.store.conftest import A_WORKSPACE, Stage, an_event, write

BOX = SecretBox([bytes(32)])
INVALID = "DESTINATION_VALIDATION"

_ANOTHER_SYNC = """
INSERT INTO syncs (id, workspace_id, name, destination_id, definition, schedule)
SELECT $1, workspace_id, 'orders', destination_id, definition, schedule FROM syncs LIMIT 1
"""
_NEWEST = "SELECT id FROM dead_letters WHERE sync_id = $1 AND dedupe_key = $2 ORDER BY first_seen_at DESC LIMIT 1"


@dataclass(slots=True)
class Grave:
    """A sync whose rows are refused by its destination."""

    stage: Stage
    claim: Claim | None = None
    seq: int = 0
    told: list[DeadLetterId] = field(default_factory=list)

    @property
    def database(self) -> Database:
        return self.stage.database

    @property
    def letters(self) -> DeadLetters:
        return DeadLetters(self.database, BOX)

    async def bury(self, *keys: str, code: str = INVALID, payload: bytes = b'{"email": "?"}') -> list[DeadLetterId]:
        """Have a run see these rows refused; gives the letters in the order of the keys."""
        await self.settle(Settlement(Position(), Books(), letters=[a_letter(key, code, payload) for key in keys]))
        return [await self.letter_of(key) for key in keys]

    async def deliver(self, *keys: str) -> None:
        """Have a run deliver these rows at last."""
        await self.settle(Settlement(Position(), Books(), cleared=[dedupe_key(RowKey((key,))) for key in keys]))

    async def settle(self, settlement: Settlement) -> None:
        """Write it as the next checkpoint of the run, started first if there is none."""
        if self.claim is None:
            await self.claim_run(await self.stage.start_run())
        assert self.claim is not None
        place = Place(self.claim.lease, A_WORKSPACE, self.stage.sync_id, self.seq, ttl_s=30)
        await write(Checkpoints(self.database, BOX), place, settlement, self._tell)
        self.seq += 1

    async def claim_run(self, run_id: RunId) -> None:
        """Go on with another run."""
        self.claim = await Shards(self.database).claim(owner="pod", ttl_s=30, grace_s=5)
        assert self.claim is not None
        assert self.claim.lease.run_id == run_id
        self.seq = self.claim.checkpoint_seq

    async def finish(self, status: RunStatus = RunStatus.SUCCEEDED) -> None:
        """End the run."""
        assert self.claim is not None
        await Shards(self.database).finish(self.claim.lease, Ending(status, an_event("finished")))
        self.claim = None

    async def letter_of(self, key: str) -> DeadLetterId:
        """The letter that the row got last."""
        found = await self.database.fetchval(_NEWEST, self.stage.sync_id, dedupe_key(RowKey((key,))))
        return DeadLetterId(found)

    async def replay(self, ids: Sequence[DeadLetterId], *, by: str = "ann") -> RunId:
        """Start a replay, committed."""
        async with self.database.transaction() as connection:
            request = ReplayRequest(A_WORKSPACE, ids, by)
            return (await replays(self.database).start(connection, request, announce))[0].run_id

    async def state(self, letter_id: DeadLetterId) -> str:
        """Where the letter stands."""
        return (await self.letters.get(A_WORKSPACE, letter_id)).state

    def _tell(self, _seq: int, letters: Mapping[DeadLetterId, str]) -> list[OutgoingEvent]:
        self.told += letters
        return []


def a_letter(key: str, code: str = INVALID, payload: bytes = b'{"email": "?"}') -> NewDeadLetter:
    """A row of that key, refused."""
    return NewDeadLetter(
        dedupe_key=dedupe_key(RowKey((key,))),
        row_key=RowKey((key,)),
        operation=Operation.UPSERT,
        error_code=code,
        message="bad email",
        record_keys={"id": key},
        payload=payload,
        row_hash=hash_row(payload),
    )


def replays(database: Database) -> Replays:
    """Replays on the database."""
    return Replays(Runs(database))


def announce(new: NewRun) -> OutgoingEvent:
    """Some event that names the run."""
    return an_event(new.run_id)


async def another_sync(grave: Grave) -> Grave:
    """A second sync of the same workspace."""
    sync_id = new_sync_id()
    await grave.database.execute(_ANOTHER_SYNC, sync_id)
    return Grave(replace(grave.stage, sync_id=SyncId(sync_id)))


ELSEWHERE = WorkspaceId("ws_elsewhere")
