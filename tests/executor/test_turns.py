"""Workspaces take turns in an executor: none keeps the others waiting, however much it has queued."""

import pytest

from tailrace.core.ids import WorkspaceId
from tailrace.core.runs import RunStatus
from tailrace.core.syncs import ManualSchedule
from tailrace.runtime.service import Chassis
from tailrace.store.connections import ConnectionDraft
from tailrace.store.syncs import NewSync, Syncs
from tailrace_executor.turns import Turns
from tests.executor.sink import Sink
from tests.executor.yard import Yard, definition_of, make_sync
from tests.pipeline.clocks import SetClock

ANN, BEN, CAT = (WorkspaceId(f"ws_{name}") for name in ("ann", "ben", "cat"))
_STARTS = "SELECT sync_id FROM runs ORDER BY started_at"


def turns(*begun: WorkspaceId, room: int = 4, most_of_one: int = 4) -> Turns:
    made = Turns(SetClock(), room, most_of_one)
    for workspace_id in begun:
        made.begin(workspace_id)
    return made


@pytest.mark.parametrize(
    ("begun", "crowding"),
    [
        ([], []),
        ([ANN], []),
        ([ANN, ANN], [ANN]),
        ([ANN, BEN], []),
        ([ANN, ANN, BEN], [ANN]),
        ([ANN, ANN, BEN, BEN], [ANN, BEN]),
        ([ANN, BEN, CAT], [ANN, BEN, CAT]),
    ],
)
def test_who_has_its_share_of_the_room_lets_others_go_first(
    begun: list[WorkspaceId], crowding: list[WorkspaceId]
) -> None:
    assert turns(*begun).crowding == crowding


def test_who_lets_others_go_first_does_so_no_more_once_its_runs_have_ended() -> None:
    some = turns(ANN, ANN, BEN)

    some.end(ANN)
    some.end(BEN)

    assert some.crowding == []
    assert some.held == {ANN: 1}


def test_others_are_looked_for_once_a_second_while_there_are_none() -> None:
    clock = SetClock()
    some = Turns(clock, 2, 2)
    some.begin(ANN)

    some.nobody_else_waits()
    at_once = some.crowding
    clock.seconds += 1.0

    assert (at_once, some.crowding) == ((), [ANN])


def test_no_workspace_has_more_of_the_room_than_it_may_ever_have() -> None:
    assert turns(ANN, ANN, BEN, most_of_one=2).full == [ANN]


async def test_run_of_another_workspace_begins_before_all_that_one_has_queued(
    yard: Yard, chassis: Chassis, sink: Sink, empty_database_url: str
) -> None:
    await yard.add_people(1, 20)
    flood = [yard, *[await _another_sync(yard, number) for number in range(6)]]
    source = ConnectionDraft("warehouse", {"url": "***", "allow_superuser": True}, {"/url": empty_database_url})
    drafts = (source, ConnectionDraft("sink", {"url": sink.url, "requires_results": True}, {}))
    definition = definition_of("SELECT id, email FROM people", ("id", "email"))
    other = Yard(chassis, yard.warehouse, await make_sync(chassis, *drafts, definition))

    run_ids = [await one.start() for one in (*flood, other)]
    async with yard.executor(executor_max_runs=2):
        runs = [await one.ended(run_id) for one, run_id in zip((*flood, other), run_ids, strict=True)]

    order = [row["sync_id"] for row in await chassis.database.fetch(_STARTS)]
    assert {run.status for run in runs} == {RunStatus.SUCCEEDED}
    assert order.index(other.sync.id) == 1


async def _another_sync(yard: Yard, number: int) -> Yard:
    new = NewSync(yard.sync.workspace_id, f"people {number}", yard.sync.definition, ManualSchedule())
    return Yard(yard.chassis, yard.warehouse, await Syncs(yard.chassis.database).create(new))
