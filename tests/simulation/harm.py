"""Stories in which executors share runs, and what befalls these where they are most delicate."""

from collections.abc import Callable, Sequence

from tailrace.core.errors import CredentialsRefused, TailraceError
from tailrace.core.policies import DeliveryPolicy
from tailrace.core.syncs import SyncDefinition
from tailrace.events.run_events import run_cancelled_in_queue
from tests.simulation.cast import Seat
from tests.simulation.tables import RunRecord
from tests.simulation.weather import CALM
from tests.simulation.world import LONGEST_FREEZE_S, World

_SHARED = 0.17
_HARMED = 0.4
_MOST_SHARDS = 4
_SOON_S = (0.01, 0.1, 1.0, 5.0)


def share_runs(world: World, seats: Callable[[], Sequence[Seat]]) -> int:
    """Have the runs of some stories cut where they can be; gives how many executors there are to be at least."""
    chance = world.sharing
    if chance.random() >= _SHARED:
        return 1
    world.rows_per_shard = chance.randint(2, 6)
    world.store.on_share = lambda run: _harm(world, run, seats)
    return chance.randint(1, 3)


def in_shards(world: World, definition: SyncDefinition) -> SyncDefinition:
    """The sync with so many shards that they fit the few rows of a story, where it is one of shared runs."""
    if not world.rows_per_shard:
        return definition
    policy = DeliveryPolicy(shards=world.sharing.randint(2, _MOST_SHARDS))
    return definition.model_copy(update={"delivery": policy})


def _harm(world: World, run: RunRecord, seats: Callable[[], Sequence[Seat]]) -> None:
    """Cancel a run that was just cut or left, or end or hold up one of those who work on it."""
    chance = world.sharing
    if chance.random() < _HARMED:
        deed = chance.choice((_cancel, _kill, _freeze, _stop, _lock_out))
        world.loop.outside(chance.choice(_SOON_S) * chance.random(), _befall, deed, world, run, seats)


def _befall(
    deed: Callable[[World, RunRecord, Seat], None], world: World, run: RunRecord, seats: Callable[[], Sequence[Seat]]
) -> None:
    at_work = [seat for seat in seats() if _works_on(seat, run)]
    if world.weather is not CALM and run.is_active and at_work:
        deed(world, run, world.sharing.choice(at_work))


def _works_on(seat: Seat, run: RunRecord) -> bool:
    return seat.crew is not None and any(lease.run_id == run.id for lease in seat.crew.tenures)


def _cancel(world: World, run: RunRecord, _: Seat) -> None:
    world.store.cancel(run.sync_id, run_cancelled_in_queue)


def _kill(world: World, _: RunRecord, seat: Seat) -> None:
    world.kill(seat.process)


def _freeze(world: World, _: RunRecord, seat: Seat) -> None:
    world.freeze(seat.process, world.sharing.uniform(0.0, LONGEST_FREEZE_S))


def _lock_out(world: World, _: RunRecord, __: Seat) -> None:
    """The next request is refused in a way that fails its shard."""

    def refuse() -> TailraceError | None:
        world.refusal = lambda: None
        return None if world.weather is CALM else CredentialsRefused("not with these credentials")

    world.refusal = refuse


def _stop(_: World, __: RunRecord, seat: Seat) -> None:
    seat.stopping.set()
