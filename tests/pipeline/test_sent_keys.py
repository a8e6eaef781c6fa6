"""Keys that are two in the query and one at the destination: no row over another, no record gone that is another's."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import orjson
import pytest

from tailrace.connector_kit.destination import Field
from tailrace.connector_kit.field_kinds import FieldKind
from tailrace.core.batches import Batch
from tailrace.core.errors import DestinationUnavailable
from tailrace.core.mappings import Cast, Hash
from tailrace.core.rows import DELIVERED, Column, ColumnKind, Operation, Row, RowKey, RowOutcome, rejected
from tailrace.core.runs import RunKind
from tailrace.core.snapshots import UNKNOWN_VERSION, Entry
from tailrace.core.syncs import FieldMapping, SyncDefinition, SyncMode
from tailrace.mapping.accepted import Accepted
from tailrace.mapping.sent_keys import SentKeys, keys_may_meet
from tailrace.pipeline.mirror import deletes
from tests.pipeline.hashing_warehouse import HashingWarehouse
from tests.pipeline.world import World, name_in

PLAIN = FieldMapping(source="id", destination="id", key=True)
HASHED = PLAIN.model_copy(update={"hash": Hash.model_validate({"kind": "email", "platform": "meta"})})
MANY = [f"person-{number}" for number in range(30)]
WHOLE = PLAIN.model_copy(update={"cast": Cast.INTEGER})


@dataclass
class MappedWorld(World):
    """A sync whose key goes as the mapping says; those who know a row by its key see one record for each key sent."""

    key: FieldMapping = HASHED

    @property
    def definition(self) -> SyncDefinition:
        given = super().definition
        return given.model_copy(update={"field_mappings": (self.key, *given.field_mappings[1:])})

    @property
    def records(self) -> list[str]:
        """The names that the destination has, by the keys that it was sent."""
        held: dict[object, str] = {}
        for operation, row in self._sent():
            values = orjson.loads(row.body)
            held.pop(values["id"], None)
            held |= {values["id"]: values["name"]} if operation is not Operation.DELETE else {}
        return sorted(held.values())

    def _sent(self) -> list[tuple[Operation, Row]]:
        return [(batch.operation, row) for batch in self.destination.requests for row in batch.rows]


def addresses(*names: str) -> list[tuple[str | None, str]]:
    return [(f"{name}@example.com", name) for name in names]


def refuses_bad(batch: Batch) -> Sequence[RowOutcome]:
    return [rejected("BAD", "no") if name_in(row) == "bad" else DELIVERED for row in batch.rows]


def is_down(_: Batch) -> Sequence[RowOutcome]:
    raise DestinationUnavailable("down")


def dead(world: World) -> Counter[str]:
    return Counter(letter.error_code for letter in world.ledger.letters.values())


@pytest.mark.parametrize("mode", [SyncMode.UPSERT, SyncMode.MIRROR, SyncMode.INSERT, SyncMode.UPDATE])
async def test_later_row_with_the_same_mapped_key_is_rejected(mode: SyncMode) -> None:
    world = MappedWorld(addresses("ADA", "Bob", "ada"), mode=mode)

    books = await world.run()

    assert world.records == ["ADA", "Bob"]
    assert (books.delivered, books.reasons["rejected.DUPLICATE_MAPPED_KEY"], books.balance) == (2, 1, True)


async def test_number_that_is_written_in_two_ways_is_one_key() -> None:
    world = MappedWorld([("12", "first"), ("12.0", "second"), ("7", "third")], key=WHOLE)

    await world.run()

    assert world.records == ["first", "third"]


async def test_keys_that_go_as_they_come_are_not_compared() -> None:
    world = MappedWorld([("12", "first"), ("12.0", "second")], key=PLAIN)

    await world.run()

    assert world.records == ["first", "second"]


async def test_event_may_have_the_key_of_another() -> None:
    world = MappedWorld(addresses("ADA", "ada"), mode=SyncMode.APPEND)

    books = await world.run()

    assert books.delivered == 2


async def test_row_is_sent_as_soon_as_it_is_alone() -> None:
    world = MappedWorld(addresses("ADA", "ada"))
    await world.run()
    await world.run()
    assert dead(world) == {"DUPLICATE_MAPPED_KEY": 1}
    world.rows = addresses("ada")

    await world.run()

    assert world.records == ["ada"]
    assert dead(world) == {}


async def test_row_that_had_the_record_before_gets_it_back() -> None:
    world = MappedWorld(addresses("ada"))
    await world.run()
    world.rows = addresses("ADA", "ada")
    await world.run()
    assert world.records == ["ADA"]
    world.rows = addresses("ada")

    await world.run()

    assert world.records == ["ada"]


@pytest.mark.parametrize(("before", "after"), [("ADA", "ada"), ("ada", "ADA")])
async def test_row_whose_key_is_written_otherwise_now_keeps_its_record(before: str, after: str) -> None:
    world = MappedWorld([*addresses(before), *addresses(*MANY)], mode=SyncMode.MIRROR)
    await world.run()
    world.rows = [*addresses(after), *addresses(*MANY)]

    books = await world.run()

    assert after in world.records
    assert len(world.records) == 31
    assert (books.deleted, books.kept, books.balance) == (0, 1, True)
    assert RowKey((f"{before}@example.com",)) not in world.ledger.entries


async def test_row_that_left_is_still_deleted_beside_one_that_moved() -> None:
    world = MappedWorld([*addresses("ADA", "Bob"), *addresses(*MANY)], mode=SyncMode.MIRROR)
    await world.run()
    world.rows = [*addresses("ada"), *addresses(*MANY)]

    books = await world.run()

    assert "Bob" not in world.records
    assert "ada" in world.records
    assert (books.deleted, books.kept) == (1, 1)


async def test_replay_of_a_row_that_left_deletes_no_record_that_another_row_has() -> None:
    world = MappedWorld([*addresses("ada"), *addresses(*MANY)], mode=SyncMode.MIRROR)
    await world.run()
    world.rows = [*addresses("ADA", "ada"), *addresses(*MANY)]
    await world.run()
    world.rows = [*addresses("ADA"), *addresses(*MANY)]

    books = await world.run(RunKind.REPLAY, only=["ada@example.com"])

    assert "ADA" in world.records
    assert (books.deleted, books.kept) == (0, 1)


async def test_replay_rejects_a_row_whose_key_another_row_has() -> None:
    world = MappedWorld(addresses("ADA", "ada"))
    await world.run()

    books = await world.run(RunKind.REPLAY, only=["ada@example.com"])

    assert (books.reasons["rejected.DUPLICATE_MAPPED_KEY"], world.records) == (1, ["ADA"])


async def test_run_that_goes_on_rejects_a_row_whose_key_one_that_was_settled_has() -> None:
    world = MappedWorld(addresses("ADA", *(name.upper() for name in MANY), "ada"), window_rows=10)
    world.destination.answers = [lambda batch: [DELIVERED] * len(batch.rows)]
    world.destination.always = is_down
    with pytest.raises(DestinationUnavailable):
        await world.run()
    world.destination.always = None

    books = await world.run(resume=True)

    assert (books.delivered, books.reasons["rejected.DUPLICATE_MAPPED_KEY"]) == (31, 1)
    assert "ADA" in world.records


async def test_run_that_goes_on_sends_rows_that_were_delivered_before_and_not_seen_yet() -> None:
    world = MappedWorld(addresses(*MANY), window_rows=10)
    await world.run()
    world.rows = [(key, f"new {name}") for key, name in world.rows]
    world.destination.answers = [lambda batch: [DELIVERED] * len(batch.rows)]
    world.destination.always = is_down
    with pytest.raises(DestinationUnavailable):
        await world.run()
    world.destination.always = None

    books = await world.run(resume=True)

    assert (books.delivered, books.rejected) == (30, 0)


async def test_replay_sends_a_row_whose_record_a_rejected_row_had_before() -> None:
    world = MappedWorld([*addresses("ada"), *addresses(*MANY)])
    await world.run()
    world.rows = [("ADA@example.com", "bad"), *addresses("ada"), *addresses(*MANY)]
    world.destination.always = refuses_bad
    await world.run()
    world.destination.always = None

    books = await world.run(RunKind.REPLAY, only=["ADA@example.com"])

    assert (books.delivered, "bad" in world.records, "ada" in world.records) == (1, True, False)


async def test_row_whose_key_an_unchanged_row_has_is_rejected_where_the_warehouse_compares() -> None:
    world = MappedWorld(addresses("ADA"))
    world.warehouse = HashingWarehouse([])
    await world.run()
    await world.run()
    world.rows = addresses("ADA", "ada")

    books = await world.run()

    assert books.reasons["rejected.DUPLICATE_MAPPED_KEY"] == 1
    assert world.records == ["ADA"]


async def test_full_run_rejects_the_same_row_again() -> None:
    world = MappedWorld(addresses("ADA", "ada"))
    await world.run()

    books = await world.run(RunKind.FULL)

    assert books.reasons["rejected.DUPLICATE_MAPPED_KEY"] == 1
    assert world.records == ["ADA"]


@pytest.mark.parametrize(
    ("columns", "field", "may_meet"),
    [
        ([ColumnKind.INTEGER], FieldKind.INTEGER, False),
        ([ColumnKind.TIMESTAMP], FieldKind.TIMESTAMP, False),
        ([ColumnKind.TEXT], FieldKind.TEXT, False),
        ([ColumnKind.TEXT], FieldKind.INTEGER, True),
        ([ColumnKind.DECIMAL], FieldKind.INTEGER, True),
        ([], FieldKind.TEXT, False),
        ([], FieldKind.INTEGER, True),
    ],
)
def test_keys_may_meet_where_values_are_made_others_or_nobody_knows(
    columns: Sequence[ColumnKind], field: FieldKind, *, may_meet: bool
) -> None:
    accepted = Accepted({"id": Field("id", "id", "theirs", kind=field)})

    told = keys_may_meet(MappedWorld([], key=PLAIN).definition, accepted, [Column("id", kind) for kind in columns])

    assert told is may_meet


def test_keys_behind_the_most_are_not_held() -> None:
    held = SentKeys(most=2)

    told = [held.is_first(key.encode()) for key in ("a", "b", "c", "c", "a")]

    assert told == [True, True, True, True, False]


async def test_all_that_lives_is_gone_through_once_for_many_pages_of_deletes() -> None:
    looked = 0

    async def pages(*keys: str) -> AsyncIterator[Sequence[Entry]]:
        for key in keys:
            yield [Entry(RowKey((key,)), UNKNOWN_VERSION)]

    def living() -> AsyncIterator[Sequence[Entry]]:
        nonlocal looked
        looked += 1
        return pages("b", "x")

    removed = [each async for some in deletes(pages("a", "b", "c"), ["id"], living) for each in some]

    assert looked == 1
    assert [each.mapped is None for each in removed] == [False, True, False]
