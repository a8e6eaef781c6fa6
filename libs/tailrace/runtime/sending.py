"""Has a process send its own events as soon as they are committed."""

from tailrace.bus.courier import Courier
from tailrace.runtime.service import Chassis
from tailrace.store.outbox import Outbox

_BEAT = "courier"


async def send_own_events(chassis: Chassis) -> None:
    """Send them until the process stops; those of its last moments are left to the schedulers."""
    courier = Courier(
        Outbox(chassis.database),
        chassis.bus,
        topic_prefix=chassis.settings.topic_prefix,
        beat=lambda: chassis.health.beat(_BEAT),
    )
    chassis.database.listen(courier.tell)
    await courier.run(chassis.stopping)
