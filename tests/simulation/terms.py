"""When a shard may be claimed, and whom a snapshot speaks of."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from tailrace.core.ids import RunId
from tailrace.core.runs import RunStatus
from tailrace.core.syncs import SyncDefinition, SyncMode
from tailrace.store.shards import Sighting
from tests.simulation.tables import ShardRecord


@dataclass(frozen=True, slots=True)
class Terms:
    """When a shard may be claimed, by one who is `sharing` these runs already."""

    now: datetime
    ttl: timedelta
    grace: timedelta
    silent: Mapping[Sighting, bool]
    longest_wait: timedelta
    sharing: Collection[RunId]

    def allow(self, shard: ShardRecord) -> bool:
        """Whether nobody has the shard, or its owner is dead."""
        if shard.number and not shard.epoch and shard.run.id in self.sharing:
            return False
        if shard.state == "queued":
            wait = (shard.not_before or self.now) - self.now
            return shard.run.status is RunStatus.CANCELLING or not timedelta() < wait <= self.longest_wait
        if shard.state != "running" or shard.token is None or shard.expires_at is None:
            return False
        for_long = self.silent.get(Sighting(shard.run.id, shard.number, shard.token, shard.heartbeat_seq))
        is_over = shard.expires_at < self.now - self.grace
        is_beyond_all = shard.expires_at > self.now + 2 * self.ttl
        return for_long is not None and (is_over or (for_long and is_beyond_all))


def target_of(definition: SyncDefinition) -> tuple[object, ...]:
    """What has to stay the same for what was delivered to count; see `tailrace.store.snapshots`."""
    mode = definition.sync_mode
    alone = mode if mode in {SyncMode.DELETE, SyncMode.APPEND} else None
    cursor = definition.cursor and definition.cursor.column
    is_replaced = cursor is not None and mode not in {SyncMode.INSERT, SyncMode.APPEND}
    content = (definition.source_query, definition.field_mappings) if is_replaced else None
    return definition.destination_id, definition.object_name, alone, definition.key_mappings, cursor, content
