"""The whole platform over the real flights of a year: what arrives is held against what the warehouse holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from tests.gateway.caller import Json
from tests.walks.flights import BY_DEPARTURE, EVERYTHING, ROWS, Warehouse, flights_of, open_warehouse, rows_in
from tests.walks.installation import SERVICES, Installation, way_in
from tests.walks.listener import Listener
from tests.walks.rows import NONE, compare
from tests.walks.sink import REFUSED, Sink
from tests.walks.syncs import SyncOwner, a_flight_sync

pytestmark = [pytest.mark.walk, pytest.mark.xdist_group("kafka"), pytest.mark.timeout(300)]

MOVE = "UPDATE flights SET arr_delay = coalesce(arr_delay, 0) + 1, air_time = NULL WHERE flight % 100 = 7"
DROP = "DELETE FROM flights WHERE flight % 1000 = 3"
ADD = """
INSERT INTO flights SELECT 2014, month, day, dep_time, sched_dep_time, dep_delay, arr_time, sched_arr_time, arr_delay,
  carrier, flight, tailnum, origin, dest, air_time, distance, hour, minute, time_hour + interval '1 year'
FROM flights WHERE month = 1 AND day = 1
"""
DIFFERENT = "SELECT * FROM flights WHERE flight % 100 = 7 OR year = 2014"
TOUCH = "UPDATE flights SET tailnum = 'N-' || flight WHERE year = 2013 AND month = 2 AND day = 1"
TOUCHED = "SELECT * FROM flights WHERE year = 2013 AND month = 2 AND day = 1"
REFUSABLE = f"{TOUCHED} AND origin = 'LGA'"


@dataclass(frozen=True, slots=True)
class Stage:
    """What the walk goes over."""

    warehouse: Warehouse
    sync: SyncOwner
    sink: Sink
    listener: Listener


async def test_everything_arrives_once_then_only_what_changed_then_what_was_refused(
    installation: Installation, listener: Listener, flights_url: str, sink: Sink, no_polling: dict[str, Any]
) -> None:
    gateway, *_ = await installation.start(*SERVICES, **no_polling)
    async with way_in(installation, gateway) as door, open_warehouse(flights_url) as warehouse:
        sync = await a_flight_sync(door.admin, flights_url, sink, key=BY_DEPARTURE)
        stage = Stage(warehouse, sync, sink, listener)

        await _everything_arrives_once(stage)
        flights = await _only_what_changed_arrives(stage)
        letters = await _what_is_refused_becomes_dead_letters(stage, flights)
        await _replayed_dead_letters_arrive(stage, letters)

        assert not installation.logs_hold(door.admin.token)
    assert await installation.stop() == [0] * len(SERVICES)
    assert installation.complaints == []


async def _everything_arrives_once(stage: Stage) -> None:
    run = await stage.sync.ended(await stage.sync.start_as_connection())

    assert (run.status, run.accounts) == ("succeeded", {"read": ROWS, "delivered": ROWS})
    assert compare(stage.sink.rows(), await rows_in(stage.warehouse, EVERYTHING)) == NONE
    batches = await stage.listener.batches(run.id, delivered=ROWS)
    assert [sum(getattr(batch, name) for batch in batches) for name in ("read", "delivered")] == [ROWS, ROWS]
    finished = await stage.listener.finished(run.id)
    assert (finished.status, finished.read, finished.delivered) == ("succeeded", ROWS, ROWS)


async def _only_what_changed_arrives(stage: Stage) -> int:
    """Gives how many flights there are then."""
    page = stage.sink.page
    moved, dropped, added = [await flights_of(stage.warehouse, statement) for statement in (MOVE, DROP, ADD)]
    flights = ROWS - dropped + added

    run = await stage.sync.ended(await stage.sync.start())

    sent = moved + added
    assert 0 < dropped < moved
    assert (run.status, run.accounts) == (
        "succeeded",
        {"read": flights, "delivered": sent, "skipped": flights - sent, "removed": dropped, "kept": dropped},
    )
    assert compare(stage.sink.rows(since=page), await rows_in(stage.warehouse, DIFFERENT)) == NONE
    newest, _ = [listed["attributes"] for listed in await stage.sync.runs()]
    assert (newest["rows_read"], newest["rows_written"], newest["rows_failed"]) == (flights, sent, 0)
    return flights


async def _what_is_refused_becomes_dead_letters(stage: Stage, flights: int) -> list[Json]:
    """Gives the dead letters."""
    page = stage.sink.page
    touched = await flights_of(stage.warehouse, TOUCH)
    refusable = await rows_in(stage.warehouse, REFUSABLE)
    refused = refusable.total()
    stage.sink.refuses = lambda row: row["origin"] == "LGA" and row["aircraft"] == f"N-{row['flight']}"

    run = await stage.sync.ended(await stage.sync.start())

    assert 0 < refused < touched
    assert (run.status, run.accounts) == (
        "succeeded",
        {"read": flights, "delivered": touched - refused, "skipped": flights - touched, "rejected": refused},
    )
    assert compare(stage.sink.rows(since=page), await rows_in(stage.warehouse, TOUCHED) - refusable) == NONE
    letters = await stage.sync.letters()
    assert {letter["attributes"]["error_code"] for letter in letters} == {REFUSED}
    stats = await stage.sync.letter_stats()
    assert (len(letters), stats["open_count"], stats["by_error_code"]) == (refused, refused, {REFUSED: refused})
    return letters


async def _replayed_dead_letters_arrive(stage: Stage, letters: Sequence[Json]) -> None:
    page = stage.sink.page
    stage.sink.refuses = lambda _row: False

    run = await stage.sync.ended(await stage.sync.replay([letter["id"] for letter in letters]))

    assert (run.status, run.accounts) == ("succeeded", {"read": len(letters), "delivered": len(letters)})
    assert compare(stage.sink.rows(since=page), await rows_in(stage.warehouse, REFUSABLE)) == NONE
    stats = await stage.sync.letter_stats()
    assert (stats["open_count"], stats["resolved_count"]) == (0, len(letters))
    assert await stage.sync.letters() == []
