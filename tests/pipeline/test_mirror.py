"""Mirror: the destination holds what the query gives, and never loses much of it by one run."""

from collections.abc import Sequence

import pytest

from tailrace.core.batches import Batch
from tailrace.core.errors import DestinationUnavailable, Invalid, SourceUnavailable
from tailrace.core.rows import DELIVERED, Operation, RowKey, RowOutcome, rejected, unknown
from tailrace.core.runs import RunKind
from tailrace.core.settlements import Phase
from tailrace.core.snapshots import UNKNOWN_VERSION, Entry
from tailrace.core.syncs import SyncMode
from tailrace.pipeline.mirror import deletes_allowed
from tests.pipeline.world import Answer, MemoryDestination, World, people

LOCKED = rejected("LOCKED", "somebody holds it")


def mirror(count: int) -> World:
    return World(people(count), mode=SyncMode.MIRROR)


def deleted(world: World) -> list[RowKey]:
    """The keys of all delete requests, in order."""
    return [
        row.key for batch in world.destination.requests if batch.operation is Operation.DELETE for row in batch.rows
    ]


def keeps(key: str) -> Answer:
    """An answer that refuses to delete a row."""

    def answer(batch: Batch) -> Sequence[RowOutcome]:
        is_delete = batch.operation is Operation.DELETE
        return [LOCKED if is_delete and row.key == (key,) else DELIVERED for row in batch.rows]

    return answer


async def test_rows_that_left_the_query_are_deleted_and_booked() -> None:
    world = mirror(100)
    await world.run()
    world.rows = people(100)[:-7]

    books = await world.run()

    assert sorted(world.destination.holds) == [(f"{number:04}",) for number in range(93)]
    assert (books.read, books.skipped, books.removed, books.deleted, books.balance) == (93, 93, 7, 7, True)
    assert len(world.ledger.entries) == 93


async def test_deletes_come_after_all_other_rows() -> None:
    world = mirror(50)
    await world.run()
    world.destination.requests.clear()
    world.rows = [("0000x", "new"), *people(50)[3:], ("z", "new")]

    await world.run()

    assert [batch.operation for batch in world.destination.requests] == [Operation.UPSERT, Operation.DELETE]


async def test_delete_says_the_key_as_the_upsert_did() -> None:
    world = World([("7", "seven"), ("x", "ex"), *people(20)], mode=SyncMode.MIRROR)
    await world.run()
    world.rows = people(20)

    await world.run()

    sent = [
        row.body for batch in world.destination.requests if batch.operation is Operation.DELETE for row in batch.rows
    ]
    assert sent == [b'{"id":"7"}', b'{"id":"x"}']


async def test_key_that_the_destination_takes_for_that_of_a_living_row_is_not_deleted() -> None:
    world = World([("Ada", "a"), ("Bo", "b"), *people(20)], mode=SyncMode.MIRROR)
    world.destination.identity_of = bytes.lower
    await world.run()
    world.rows = [("ada", "a"), *people(20)]

    books = await world.run()
    world.rows = people(20)
    later = await world.run()

    assert deleted(world) == [("Bo",), ("ada",)]
    assert (books.removed, books.deleted, books.kept, books.balance) == (2, 1, 1, True)
    assert (later.removed, later.deleted, later.balance) == (1, 1, True)


async def test_row_that_comes_back_after_it_was_deleted_is_added() -> None:
    world = mirror(40)
    await world.run()
    world.rows = people(40)[1:]
    await world.run()
    world.rows = people(40)

    books = await world.run()

    assert (books.reasons["change.added"], len(world.destination.holds)) == (1, 40)


async def test_too_many_deletes_stop_the_run_before_the_first_and_all_else_is_delivered() -> None:
    world = mirror(200)
    await world.run()
    world.rows = [*people(200)[:150], ("new", "new")]

    with pytest.raises(Invalid) as stopped:
        await world.run()

    assert stopped.value.code == "DELETE_GUARD"
    assert "50 of the 201 rows" in stopped.value.message
    assert "maxDeleteRatio to 0.25" in stopped.value.message
    assert deleted(world) == []
    assert RowKey(("new",)) in world.destination.holds
    assert (world.ledger.books.read, world.ledger.books.balance) == (151, True)


async def test_deletes_that_were_stopped_are_made_once_the_ratio_allows_them() -> None:
    world = mirror(200)
    await world.run()
    world.rows = people(200)[:150]
    with pytest.raises(Invalid):
        await world.run()
    world.max_delete_ratio = 0.25

    books = await world.run()

    assert (books.deleted, len(world.destination.holds)) == (50, 150)


async def test_row_that_comes_back_before_it_was_deleted_is_sent_and_stays() -> None:
    world = mirror(200)
    await world.run()
    world.rows = people(200)[:150]
    with pytest.raises(Invalid):
        await world.run()
    world.rows = people(200)[:195]

    books = await world.run()

    assert (books.reasons["change.added"], books.deleted) == (45, 5)
    assert len(world.destination.holds) == 195


@pytest.mark.parametrize("kind", [RunKind.INCREMENTAL, RunKind.FULL])
@pytest.mark.parametrize("known", [1, 2, 8, 500])
async def test_empty_query_deletes_nothing(known: int, kind: RunKind) -> None:
    world = mirror(known)
    await world.run()
    world.rows = []

    with pytest.raises(Invalid):
        await world.run(kind)

    assert len(world.destination.holds) == known


async def test_query_that_breaks_off_deletes_nothing() -> None:
    world = mirror(2000)
    await world.run()
    world.rows = people(2000)[:-3]
    world.warehouse.error, world.warehouse.error_after = SourceUnavailable("connection lost"), 3

    with pytest.raises(SourceUnavailable):
        await world.run()

    assert deleted(world) == []
    world.warehouse.error = None
    books = await world.run(resume=True)
    assert (books.read, books.deleted, len(world.destination.holds)) == (1997, 3, 1997)


async def test_everything_may_go_where_the_ratio_is_one() -> None:
    world = mirror(30)
    world.max_delete_ratio = 1.0
    await world.run()
    world.rows = []

    books = await world.run()

    assert (books.deleted, world.destination.holds, world.ledger.entries) == (30, {}, {})


async def test_full_run_sends_all_rows_and_deletes_what_is_gone() -> None:
    world = mirror(60)
    await world.run()
    world.rows = people(60)[2:]

    books = await world.run(RunKind.FULL)

    assert (books.delivered, books.deleted, len(world.destination.holds)) == (58, 2, 58)


async def test_delete_phase_goes_on_where_it_was_interrupted() -> None:
    world = World(people(400), mode=SyncMode.MIRROR, window_rows=10, max_delete_ratio=0.5)
    await world.run()
    world.rows = people(400)[100:]
    world.destination.answers = [lambda batch: [DELIVERED] * len(batch.rows)] * 5
    world.destination.always = _is_down

    with pytest.raises(DestinationUnavailable):
        await world.run()

    assert world.ledger.position.phase is Phase.DELETES
    assert 0 < world.ledger.books.deleted < 100
    world.destination.always = None
    world.max_delete_ratio = 0.0  # the guard has let the run pass already
    books = await world.run(resume=True)
    assert (books.read, books.deleted, books.balance) == (300, 100, True)
    assert len(world.destination.applied) - 500 <= 10


async def test_refused_delete_is_a_dead_letter_that_stays_out_until_it_is_resolved() -> None:
    world = mirror(40)
    await world.run()
    world.destination.always = keeps("0001")
    world.rows = people(40)[3:]
    refused = await world.run()
    again = await world.run()
    (letter,) = world.ledger.letters.values()
    world.ledger.letters.clear()
    world.destination.always = None

    books = await world.run()

    assert (refused.deleted, refused.undeleted, refused.balance) == (2, 1, True)
    assert (letter.operation, letter.row_key, letter.payload) == (Operation.DELETE, ("0001",), b'{"id":"0001"}')
    assert (again.reasons["kept.STILL_DEAD"], again.balance) == (1, True)
    assert (books.deleted, len(world.destination.holds)) == (1, 37)


async def test_refused_delete_can_be_replayed() -> None:
    world = mirror(40)
    await world.run()
    world.destination.always = keeps("0001")
    world.rows = people(40)[3:]
    await world.run()
    world.destination.always = None

    books = await world.run(RunKind.REPLAY, only=["0001"])

    assert (books.read, books.deleted, world.ledger.letters) == (0, 1, {})
    assert len(world.destination.holds) == 37


async def test_replay_of_a_row_that_left_the_query_since_deletes_what_was_there() -> None:
    world = World(people(40), MemoryDestination(always=_refuses_bad), mode=SyncMode.MIRROR)
    await world.run()
    world.rows[5] = ("0005", "bad")
    await world.run()
    world.rows.pop(5)

    books = await world.run(RunKind.REPLAY, only=["0005"])

    assert (books.deleted, world.ledger.letters) == (1, {})


async def test_row_that_was_never_delivered_needs_no_delete() -> None:
    world = World([*people(20), ("bad", "bad")], MemoryDestination(always=_refuses_bad), mode=SyncMode.MIRROR)
    await world.run()
    world.rows = people(20)

    books = await world.run()

    assert (deleted(world), world.ledger.letters, books.kept) == ([], {}, 1)


async def test_row_that_may_have_arrived_is_deleted_once_it_is_gone() -> None:
    world = World([*people(20), ("doubt", "x")], MemoryDestination(always=_doubts), mode=SyncMode.MIRROR)
    await world.run()
    world.rows = people(20)

    await world.run()

    assert deleted(world) == [("doubt",)]


async def test_row_with_a_problem_is_in_the_query_and_stays() -> None:
    world = World(people(20), MemoryDestination(bytes_per_batch=200), mode=SyncMode.MIRROR)
    await world.run()
    world.rows[4] = ("0004", "x" * 300)

    books = await world.run()

    assert (deleted(world), books.reasons["rejected.ROW_TOO_LARGE"]) == ([], 1)


async def test_mark_of_a_mode_before_is_no_proof_that_the_row_is_there() -> None:
    world = mirror(3)
    known = Entry(RowKey(("0001",)), UNKNOWN_VERSION, is_gone=True)
    world.ledger.entries = {known.key: known}
    world.mode = SyncMode.UPSERT

    books = await world.run()

    assert books.reasons == {"change.added": 3}


@pytest.mark.parametrize(
    ("delivered", "ratio", "allowed"),
    [
        (0, 0.1, 0),
        (1, 0.1, 0),
        (5, 0.1, 2),
        (30, 0.1, 10),
        (1000, 0.1, 100),
        (1000, 0.29, 290),
        (7, 1.0, 7),
        (50, 0, 10),
    ],
)
def test_a_part_of_the_rows_may_go_and_a_few_of_small_tables(delivered: int, ratio: float, allowed: int) -> None:
    assert deletes_allowed(delivered, ratio) == allowed


def _is_down(_: Batch) -> Sequence[RowOutcome]:
    raise DestinationUnavailable("down")


def _refuses_bad(batch: Batch) -> Sequence[RowOutcome]:
    return [rejected("BAD", "no") if b'"bad"' in row.body else DELIVERED for row in batch.rows]


def _doubts(batch: Batch) -> Sequence[RowOutcome]:
    is_upsert = batch.operation is Operation.UPSERT
    return [unknown("who knows") if is_upsert and row.key == ("doubt",) else DELIVERED for row in batch.rows]
