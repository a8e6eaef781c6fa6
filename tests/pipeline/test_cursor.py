"""Reading by a cursor: what is new is what stands above the watermark, and nothing falls between two runs."""

from collections.abc import Sequence

import pytest

from tailrace.core.batches import Batch
from tailrace.core.errors import DestinationUnavailable, SourceInvalid, SourceUnavailable
from tailrace.core.readings import CursorReading
from tailrace.core.rows import DELIVERED, RowKey, RowOutcome, rejected
from tailrace.core.runs import RunKind
from tailrace.core.syncs import SyncMode
from tests.pipeline.world import World, name_in

Rows = list[tuple[str | None, str]]


def by_cursor(rows: Rows, *, look_back_s: float = 2, mode: SyncMode = SyncMode.UPSERT) -> World:
    reading = CursorReading(type="cursor", column="at", look_back_s=look_back_s)
    return World(rows, mode=mode, reading=reading, window_rows=10)


def rows_at(*values: int) -> Rows:
    """A row for each value of the cursor."""
    return [(f"k{number:03}", f"n@{value}") for number, value in enumerate(values)]


def sent(world: World) -> list[str]:
    """The names of all rows that arrived, in order."""
    return [name_in(row) for row in world.destination.applied]


def refuses_bad(batch: Batch) -> Sequence[RowOutcome]:
    """Rows whose name begins with bad are rejected."""
    return [rejected("BAD", "no") if name_in(row).startswith("bad") else DELIVERED for row in batch.rows]


def is_down(_: Batch) -> Sequence[RowOutcome]:
    raise DestinationUnavailable("down")


async def test_second_run_reads_what_is_new_and_the_look_back() -> None:
    world = by_cursor(rows_at(*range(1, 51)))
    await world.run()
    world.destination.applied.clear()
    world.rows = [*world.rows, ("new", "new@51")]

    books = await world.run()

    assert sent(world) == ["new@51"]
    assert (books.read, books.skipped, books.reasons["skipped.UNCHANGED"]) == (4, 3, 3)


async def test_row_that_was_committed_late_while_a_run_was_interrupted_is_found() -> None:
    world = by_cursor(rows_at(*range(1, 51)), look_back_s=20)
    world.destination.answers = [lambda batch: [DELIVERED] * len(batch.rows)] * 4
    world.destination.always = is_down
    with pytest.raises(DestinationUnavailable):
        await world.run()
    world.destination.always = None
    world.rows = [*world.rows, ("late", "late@35"), ("new", "new@100")]

    await world.run(resume=True)
    await world.run()

    assert "late@35" in sent(world)
    assert len(sent(world)) == len(set(sent(world)))


async def test_row_that_was_committed_late_is_found_within_the_look_back() -> None:
    world = by_cursor(rows_at(1, 2, 10), look_back_s=3)
    await world.run()
    world.rows = [*world.rows, ("late", "late@7"), ("too late", "too late@6")]

    await world.run()

    assert sent(world)[3:] == ["late@7"]


async def test_row_that_changed_within_the_look_back_is_sent_again_though_its_cursor_stayed() -> None:
    world = by_cursor(rows_at(1, 10))
    await world.run()
    world.rows = [("k000", "n@1"), ("k001", "changed@10")]

    await world.run()

    assert sent(world)[2:] == ["changed@10"]


async def test_state_is_kept_of_the_look_back_alone() -> None:
    world = by_cursor(rows_at(*range(1, 101)), look_back_s=5)

    await world.run()

    assert [key[1] for key in sorted(world.ledger.entries)] == [f"k{number:03}" for number in range(94, 100)]


async def test_rows_of_one_value_are_neither_lost_nor_sent_twice_by_an_interrupted_run() -> None:
    world = by_cursor(rows_at(*[7] * 80), look_back_s=0)
    world.destination.answers = [lambda batch: [DELIVERED] * len(batch.rows)] * 3
    world.destination.always = is_down
    with pytest.raises(DestinationUnavailable):
        await world.run()
    world.destination.always = None

    books = await world.run(resume=True)

    assert (books.read, books.delivered, len(world.destination.holds)) == (80, 80, 80)
    assert len(sent(world)) == 80


async def test_run_that_failed_leaves_the_watermark_where_rows_are_settled() -> None:
    world = by_cursor(rows_at(*range(1, 3001)), look_back_s=0)
    world.warehouse.error, world.warehouse.error_after = SourceUnavailable("connection lost"), 2
    with pytest.raises(SourceUnavailable):
        await world.run()
    settled = world.ledger.books.delivered
    world.warehouse.error = None

    books = await world.run()

    assert 0 < settled < 3000
    assert settled + books.delivered == 3000
    assert len(world.destination.holds) == 3000


async def test_watermark_does_not_pass_a_row_that_was_not_settled() -> None:
    world = by_cursor(rows_at(*range(1, 101)), look_back_s=0)
    world.destination.answers = [lambda batch: [DELIVERED] * len(batch.rows)]
    world.destination.always = is_down
    with pytest.raises(DestinationUnavailable):
        await world.run()
    world.destination.always = None

    await world.run()

    assert len(world.destination.holds) == 100


async def test_watermark_stays_when_the_highest_rows_are_deleted_from_the_source() -> None:
    world = by_cursor(rows_at(*range(1, 21)), look_back_s=1, mode=SyncMode.APPEND)
    await world.run()
    world.rows = rows_at(*range(1, 11))
    await world.run()
    world.rows = [*world.rows, ("old", "old@15"), ("new", "new@21")]

    await world.run()

    assert sent(world)[20:] == ["new@21"]


async def test_full_run_reads_the_whole_table_and_sets_the_watermark_anew() -> None:
    world = by_cursor(rows_at(*range(1, 21)), look_back_s=0)
    await world.run()
    world.rows = rows_at(*range(1, 11))

    books = await world.run(RunKind.FULL)
    world.rows = [*world.rows, ("again", "again@12")]
    await world.run()

    assert (books.read, books.delivered) == (10, 10)
    assert sent(world)[30:] == ["again@12"]


@pytest.mark.parametrize("mode", [SyncMode.UPSERT, SyncMode.UPDATE])
async def test_newest_version_stays_when_a_full_run_breaks_off_behind_an_older_one(mode: SyncMode) -> None:
    world = by_cursor([("twice", "old@1"), *rows_at(*range(2, 51)), ("twice", "new@51")], mode=mode)
    await world.run()
    world.destination.answers = [lambda batch: [DELIVERED] * len(batch.rows)] * 2
    world.destination.always = is_down
    with pytest.raises(DestinationUnavailable):
        await world.run(RunKind.FULL)
    world.destination.always = None

    await world.run()

    assert sent(world)[-1] == "new@51"


async def test_full_run_of_a_mode_that_sends_no_row_twice_still_knows_the_look_back() -> None:
    world = by_cursor(rows_at(*range(1, 21)), mode=SyncMode.INSERT)
    await world.run()

    books = await world.run(RunKind.FULL)

    assert books.reasons == {"change.added": 17, "skipped.UNCHANGED": 3}


async def test_row_without_a_value_is_a_dead_letter_that_a_replay_can_send() -> None:
    world = by_cursor([("1", "n@1"), ("2", "none"), ("3", "none"), (None, "n@4")])

    first = await world.run()
    second = await world.run()
    codes = sorted(letter.error_code for letter in world.ledger.letters.values())
    await world.run(RunKind.REPLAY, only=["2"])

    assert first.reasons == {"change.added": 1, "rejected.NULL_CURSOR": 2, "rejected.NULL_KEY": 1}
    assert second.reasons == {"skipped.UNCHANGED": 1, "rejected.NULL_CURSOR": 2, "rejected.NULL_KEY": 1}
    assert codes == ["NULL_CURSOR", "NULL_CURSOR", "NULL_KEY"]
    assert RowKey(("2",)) in world.destination.holds
    assert sorted(letter.error_code for letter in world.ledger.letters.values()) == ["NULL_CURSOR", "NULL_KEY"]


async def test_rows_without_a_value_are_counted_once_by_an_interrupted_run() -> None:
    world = by_cursor([(f"{number:04}", "none") for number in range(6500)])
    world.warehouse.error, world.warehouse.error_after = SourceUnavailable("connection lost"), 6
    with pytest.raises(SourceUnavailable):
        await world.run()
    world.warehouse.error = None

    books = await world.run(resume=True)

    assert (books.read, books.rejected, len(world.ledger.letters)) == (6500, 6500, 6500)


async def test_refused_row_does_not_return_by_itself_and_can_be_replayed() -> None:
    world = by_cursor([("1", "bad@1"), ("2", "n@9")])
    world.destination.always = refuses_bad
    await world.run()
    world.destination.always = None

    books = await world.run()
    await world.run(RunKind.REPLAY, only=["1"])

    assert books.delivered == 0
    assert (sent(world), world.ledger.letters) == (["n@9", "bad@1"], {})


async def test_letter_is_closed_once_the_row_was_mended() -> None:
    world = by_cursor([("1", "bad@1"), ("2", "n@9")])
    world.destination.always = refuses_bad
    await world.run()
    world.rows = [("1", "mended@20"), ("2", "n@9")]

    await world.run()

    assert (sent(world), world.ledger.letters) == (["n@9", "mended@20"], {})


async def test_two_versions_of_a_key_are_not_in_one_batch() -> None:
    world = by_cursor([("1", "old@1"), ("2", "n@2"), ("1", "new@3")])

    books = await world.run()

    assert [[name_in(row) for row in batch.rows] for batch in world.destination.requests] == [
        ["old@1", "n@2"],
        ["new@3"],
    ]
    assert books.delivered == 3


@pytest.mark.parametrize(
    ("mode", "second"),
    [
        (SyncMode.UPSERT, ["b@12", "c@13"]),
        (SyncMode.UPDATE, ["b@12", "c@13"]),
        (SyncMode.INSERT, ["b@12", "c@13"]),
        (SyncMode.DELETE, ["b@12", "c@13"]),
        (SyncMode.APPEND, ["b@12", "c@13"]),
    ],
)
async def test_every_mode_but_mirror_sends_what_is_above_the_watermark(mode: SyncMode, second: list[str]) -> None:
    world = by_cursor([("1", "a@10"), ("2", "b@11")], mode=mode)
    await world.run()
    world.destination.applied.clear()
    world.rows = [("1", "a@10"), ("2", "b@12"), ("3", "c@13")]

    await world.run()

    assert sent(world) == second


async def test_cursor_that_the_query_does_not_have_stops_the_run_and_names_the_columns() -> None:
    world = by_cursor(rows_at(1))
    world.reading = CursorReading(type="cursor", column="nowhere")

    with pytest.raises(SourceInvalid, match=r"nowhere.*id, name, at") as stopped:
        await world.run()

    assert stopped.value.code == "CURSOR_COLUMN_MISSING"


async def test_cursor_of_text_stops_the_run() -> None:
    world = by_cursor(rows_at(1))
    world.reading = CursorReading(type="cursor", column="name")

    with pytest.raises(SourceInvalid, match="cast it") as stopped:
        await world.run()

    assert stopped.value.code == "CURSOR_TYPE"
