"""The DLQ manager: what it notices, shows and lets go of, with events and without."""

from collections import Counter
from uuid import uuid4

import orjson

from tailrace.core.ids import DeadLetterId
from tailrace.observe import metrics
from tailrace.store.dead_letter_upkeep import KEPT_DAYS, DeadLetterUpkeep
from tailrace.store.dead_letters import Resolution
from tailrace.testing.eventually import eventually
from tailrace_dlq.__main__ import serve
from tailrace_dlq.handlers import Triage
from tests.scheduler.conftest import Surroundings, surround
from tests.store.conftest import A_WORKSPACE
from tests.store.letters import INVALID, Grave, another_sync

FAILED = "tailrace.row.failed.v1"


def tell(surroundings: Surroundings, grave: Grave, *ids: DeadLetterId, event_id: str | None = None) -> None:
    """Publish what the relay publishes after a checkpoint."""
    headers = {
        "ce_specversion": "1.0",
        "ce_id": event_id or str(uuid4()),
        "ce_source": "urn:tailrace:tailrace",
        "ce_type": FAILED,
        "content-type": "application/json",
    }
    data = {
        "run_id": "retl_run_a",
        "sync_id": grave.stage.sync_id,
        "workspace_id": A_WORKSPACE,
        "dead_letter_ids": ids,
        "by_error_code": {INVALID: len(ids)},
    }
    encoded = {name: text.encode() for name, text in headers.items()}
    surroundings.bus.put(FAILED, orjson.dumps(data), key=grave.stage.sync_id.encode(), headers=encoded)


def noticed_of(code: str) -> float:
    return metrics.REGISTRY.get_sample_value("tailrace_dlq_letters_total", {"error_code": code}) or 0.0


def shown_of(code: str) -> float:
    return metrics.REGISTRY.get_sample_value("tailrace_dlq_open", {"error_code": code}) or 0.0


def unknown() -> float:
    labels = {"type": FAILED, "outcome": "unknown"}
    return metrics.REGISTRY.get_sample_value("tailrace_events_total", labels) or 0.0


async def unnoticed(grave: Grave) -> int:
    count: int = await grave.database.fetchval("SELECT count(*)::int FROM dead_letters WHERE noticed_at IS NULL")
    return count


async def states(grave: Grave) -> Counter[str]:
    rows = await grave.database.fetch("SELECT state, count(*)::int AS letters FROM dead_letters GROUP BY state")
    return Counter({row["state"]: row["letters"] for row in rows})


async def test_event_told_three_times_counts_its_letters_once(surroundings: Surroundings, grave: Grave) -> None:
    ids = await grave.bury("a", "b")
    before = noticed_of(INVALID)

    async with surroundings.running(serve):
        tell(surroundings, grave, *ids, event_id="the same")
        tell(surroundings, grave, *ids, event_id="the same")
        tell(surroundings, grave, *ids, event_id="another")
        await eventually(lambda: unnoticed(grave), 0)
        [last] = await grave.bury("c")
        tell(surroundings, grave, last)
        await eventually(lambda: unnoticed(grave), 0)

    assert noticed_of(INVALID) == before + 3


async def test_letters_are_noticed_while_the_bus_is_silent(surroundings: Surroundings, grave: Grave) -> None:
    surroundings.bus.go_down()
    before = noticed_of("RATE_LIMIT")

    async with surroundings.running(serve):
        await grave.bury("a", "b", code="RATE_LIMIT")
        await eventually(lambda: unnoticed(grave), 0)

    assert noticed_of("RATE_LIMIT") == before + 2


async def test_two_managers_count_each_letter_once(surroundings: Surroundings, grave: Grave) -> None:
    other = surround(grave.database)
    before = noticed_of(INVALID)

    async with surroundings.running(serve), other.running(serve):
        ids = await grave.bury(*(str(number) for number in range(60)))
        tell(surroundings, grave, *ids)
        tell(other, grave, *ids)
        await eventually(lambda: unnoticed(grave), 0)

    assert noticed_of(INVALID) == before + 60


async def test_letter_that_does_not_exist_is_counted_as_unknown(surroundings: Surroundings, grave: Grave) -> None:
    before = unknown()

    async with surroundings.running(serve):
        tell(surroundings, grave, DeadLetterId("retl_dlq_none"))
        await eventually(lambda: counted_unknown(before), 1.0)


async def counted_unknown(before: float) -> float:
    return unknown() - before


async def test_gauges_show_what_is_open_everywhere(grave: Grave) -> None:
    triage = Triage(DeadLetterUpkeep(grave.database))
    ids = await grave.bury("a", "b", "c")
    await grave.bury("d", code="INVALID_EMAIL_8f2e")
    await (await another_sync(grave)).bury("a")
    await triage.count()
    at_first = shown_of(INVALID), shown_of(metrics.OTHER)
    async with grave.database.transaction() as connection:
        await grave.letters.resolve(connection, A_WORKSPACE, ids, Resolution("fixed_upstream", "ann"))

    await triage.count()

    assert at_first == (4, 1)
    assert (shown_of(INVALID), shown_of(metrics.OTHER)) == (1, 1)


async def test_gauge_of_a_code_with_nothing_open_falls_to_zero(grave: Grave) -> None:
    triage = Triage(DeadLetterUpkeep(grave.database))
    ids = await grave.bury("a", code="NULL_KEY")
    await triage.count()
    async with grave.database.transaction() as connection:
        await grave.letters.resolve(connection, A_WORKSPACE, ids, Resolution("skipped", "ann"))

    await triage.count()

    assert shown_of("NULL_KEY") == 0


async def test_gauges_equal_the_stats_of_the_api(grave: Grave) -> None:
    await grave.bury("a", "b")
    await grave.bury("c", code="DUPLICATE_KEY")

    await Triage(DeadLetterUpkeep(grave.database)).count()

    stats = await grave.letters.stats(A_WORKSPACE)
    assert {code: shown_of(code) for code in stats.by_error_code} == stats.by_error_code


async def test_old_resolved_letters_are_forgotten(surroundings: Surroundings, grave: Grave) -> None:
    ids = await grave.bury("old", "open")
    # Noticed long ago, too: a letter that is being noticed waits for the next round of forgetting.
    await DeadLetterUpkeep(grave.database).notice_oldest()
    async with grave.database.transaction() as connection:
        await grave.letters.resolve(connection, A_WORKSPACE, ids[:1], Resolution("skipped", "ann"))
    await grave.database.execute(
        "UPDATE dead_letters SET resolved_at = resolved_at - make_interval(days => $1 + 1) WHERE state = 'resolved'",
        KEPT_DAYS,
    )

    async with surroundings.running(serve):
        await eventually(lambda: states(grave), Counter(open=1))
