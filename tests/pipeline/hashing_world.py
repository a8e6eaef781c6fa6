"""A world whose warehouse hashes rows."""

from dataclasses import dataclass, field

from tailrace.core.batches import Batch
from tailrace.core.errors import DestinationUnavailable
from tailrace.core.policies import DeliveryPolicy
from tailrace.core.rows import DELIVERED, RowOutcome, rejected
from tailrace.core.syncs import FieldMapping, SyncDefinition, SyncMode
from tests.pipeline.hashing_warehouse import HashingWarehouse
from tests.pipeline.world import MemoryDestination, World


@dataclass
class Mood:
    """Refuses rows named bad, and is away for some requests, by their number."""

    away: set[int]
    asked: int = field(default=0)

    def __call__(self, batch: Batch) -> list[RowOutcome]:
        self.asked += 1
        if self.asked in self.away:
            raise DestinationUnavailable("away")
        return [rejected("BAD", "bad name") if b'"bad"' in row.body else DELIVERED for row in batch.rows]


class HashedWorld(World):
    """Batches go one by one, so that the same happens each time."""

    has_more = False
    sends_name = True

    @property
    def definition(self) -> SyncDefinition:
        whole = super().definition
        fields = whole.field_mappings if self.sends_name else whole.field_mappings[:1]
        more = (FieldMapping(value="x", destination="more"),) if self.has_more else ()
        return whole.model_copy(update={"field_mappings": (*fields, *more)})


def lined(rows_per_text: int, texts_held: int = 100) -> HashingWarehouse:
    """A warehouse that gives hashes as lines of text."""
    warehouse = HashingWarehouse([])
    warehouse.rows_per_text, warehouse.texts_held = rows_per_text, texts_held
    return warehouse


def world_of(mode: SyncMode, away: set[int], warehouse: HashingWarehouse | None = None) -> HashedWorld:
    """A world whose destination is away for some requests; batches are small."""
    destination = MemoryDestination(rows_per_batch=4, bytes_per_batch=150, always=Mood(set(away)))
    world = HashedWorld([], destination, mode, policy=DeliveryPolicy(strict=True), max_delete_ratio=1.0)
    world.warehouse = warehouse or world.warehouse
    return world
