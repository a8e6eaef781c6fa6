"""What destinations keep that can do more: each capability's own suite, over the rig of the destination's contract."""

from collections.abc import Sequence
from typing import Protocol

import orjson
import pytest

from tailrace.connector_kit.capabilities import HoldsLists, MakesFields, NewField, RehearsesWrites
from tailrace.connector_kit.destination import Destination, Target
from tailrace.connector_kit.field_kinds import FieldKind
from tailrace.core.batches import Batch
from tailrace.core.errors import BatchRefused, DestinationInvalid
from tailrace.core.rows import DELIVERED, Operation, Row, RowKey, RowOutcome, Verdict
from tailrace.core.snapshots import hash_row
from tailrace.core.syncs import SyncMode
from tailrace.testing.destination_contract import DestinationRig, batch_of, person, write

HOSTILE_FIELDS = ("", " ", "a; DROP TABLE people; --", "a\x00", 'a"b\x00', "x" * 300)


class RehearsalContract:
    """What a destination keeps that rehearses writes."""

    async def test_rehearsal_says_what_a_write_would_and_leaves_nothing(self, rig: DestinationRig) -> None:
        await write(rig, Operation.UPSERT, person("1", "Ada"))
        before = await rig.people()

        upserted = await rehearse(rig, Operation.UPSERT, person("1", "Eve"), person("2", "Bob"))
        updated = await rehearse(rig, Operation.UPDATE, person("1", "Eve"), person("9", "Joe"))
        deleted = await rehearse(rig, Operation.DELETE, person("1", "Ada"))

        assert [each.verdict for each in (*upserted, *deleted)] == [Verdict.DELIVERED] * 3
        assert [each.verdict for each in updated] == [Verdict.DELIVERED, Verdict.REJECTED]
        assert await rig.people() == before

    async def test_rehearsed_row_that_is_refused_is_rejected(self, rig: DestinationRig) -> None:
        await rig.refuse("Mallory")

        [outcome] = await rehearse(rig, Operation.UPSERT, person("1", "Mallory"))

        assert outcome.verdict is Verdict.REJECTED
        assert outcome.code

    async def test_rehearsed_batch_with_a_bad_row_is_refused_or_names_it(self, rig: DestinationRig) -> None:
        await rig.refuse("Mallory")

        try:
            outcomes = await rehearse(rig, Operation.UPSERT, person("1", "Ada"), person("2", "Mallory"))
        except BatchRefused:
            outcomes = []

        assert [each.verdict for each in outcomes] in ([], [Verdict.DELIVERED, Verdict.REJECTED])
        assert await rig.people() == {}

    async def test_write_after_a_rehearsal_is_as_if_there_had_been_none(self, rig: DestinationRig) -> None:
        await rehearse(rig, Operation.INSERT, person("1", "Ada"))

        [outcome] = await write(rig, Operation.INSERT, person("1", "Ada"))

        assert outcome.verdict is Verdict.DELIVERED
        assert sorted(await rig.people()) == ["1"]


class NewFieldsContract:
    """What a destination keeps that makes fields."""

    @pytest.mark.parametrize("kind", [FieldKind.TEXT, FieldKind.NUMBER, FieldKind.DATE, FieldKind.TIMESTAMP])
    async def test_missing_field_is_made_and_can_be_written_to(self, rig: DestinationRig, kind: FieldKind) -> None:
        destination = makes_fields(rig)

        made = await destination.ensure_field(rig.object_name, NewField("nickname", "Nickname", kind))

        fields = {field.name: field for field in await rig.destination.fields(rig.object_name)}
        assert fields["nickname"] == made
        assert made.updateable

    async def test_field_that_is_there_stays_as_it_is(self, rig: DestinationRig) -> None:
        destination = makes_fields(rig)
        before = await rig.destination.fields(rig.object_name)

        found = await destination.ensure_field(rig.object_name, NewField("name", "Other", FieldKind.NUMBER))

        assert found in before
        assert await rig.destination.fields(rig.object_name) == before

    async def test_field_is_made_once(self, rig: DestinationRig) -> None:
        destination, field = makes_fields(rig), NewField("nickname", "Nickname", FieldKind.TEXT)

        first = await destination.ensure_field(rig.object_name, field)
        again = await destination.ensure_field(rig.object_name, field)

        assert first == again

    @pytest.mark.parametrize("name", HOSTILE_FIELDS)
    async def test_hostile_name_is_refused_or_does_no_harm(self, rig: DestinationRig, name: str) -> None:
        await write(rig, Operation.UPSERT, person("1", "Ada"))

        try:
            await makes_fields(rig).ensure_field(rig.object_name, NewField(name, "", FieldKind.TEXT))
        except DestinationInvalid as refused:
            assert refused.message  # noqa: PT017 - harm is what is tested

        assert list(await rig.people()) == ["1"]

    async def test_field_of_an_object_that_is_not_there_is_refused(self, rig: DestinationRig) -> None:
        with pytest.raises(DestinationInvalid):
            await makes_fields(rig).ensure_field("nowhere.at_all", NewField("nickname", "", FieldKind.TEXT))


class ListsRig(Protocol):
    """A destination with a list, and two records that may be its members: those of the keys `ada` and `bob`."""

    @property
    def destination(self) -> Destination:
        """The destination."""
        ...

    @property
    def list_name(self) -> str:
        """The list among its objects."""
        ...

    @property
    def key_name(self) -> str:
        """The field that records are known by."""
        ...

    async def members(self) -> set[str]:
        """The keys of the list's members."""
        ...


class ListsContract:
    """What a destination keeps that holds lists of members; over a fixture `lists_rig`."""

    async def test_lists_are_objects_that_can_be_mirrored(self, lists_rig: ListsRig) -> None:
        assert isinstance(lists_rig.destination, HoldsLists)

        lists = await lists_rig.destination.lists()

        offered = await lists_rig.destination.objects()
        assert lists_rig.list_name in {each.name for each in lists}
        assert [each for each in offered if each.has_members] == list(lists)
        assert [each for each in lists if not {SyncMode.UPSERT, SyncMode.DELETE, SyncMode.MIRROR} <= each.modes] == []

    async def test_upsert_adds_records_and_delete_takes_them_out(self, lists_rig: ListsRig) -> None:
        added = await change(lists_rig, Operation.UPSERT, "ada", "bob")
        both = await lists_rig.members()

        removed = await change(lists_rig, Operation.DELETE, "ada")

        assert (added, removed) == ([DELIVERED, DELIVERED], [DELIVERED])
        assert (both, await lists_rig.members()) == ({"ada", "bob"}, {"bob"})

    async def test_member_that_is_added_again_stays_one(self, lists_rig: ListsRig) -> None:
        await change(lists_rig, Operation.UPSERT, "ada")

        again = await change(lists_rig, Operation.UPSERT, "ada")

        assert (again, await lists_rig.members()) == ([DELIVERED], {"ada"})

    async def test_record_that_is_not_there_is_no_member_and_holds_up_no_other(self, lists_rig: ListsRig) -> None:
        absent, present = await change(lists_rig, Operation.UPSERT, "nobody", "ada")

        [gone] = await change(lists_rig, Operation.DELETE, "nobody")

        assert (absent.verdict, absent.code, present, gone) == (Verdict.REJECTED, "NOT_FOUND", DELIVERED, DELIVERED)
        assert await lists_rig.members() == {"ada"}


async def change(rig: ListsRig, operation: Operation, *keys: str) -> Sequence[RowOutcome]:
    """The outcomes of records that are added to the list, or taken out."""
    plan = await rig.destination.plan(Target(rig.list_name, operation, (rig.key_name,), (rig.key_name,)))
    bodies = [orjson.dumps({rig.key_name: key}) for key in keys]
    rows = [Row(RowKey((key,)), body, hash_row(body)) for key, body in zip(keys, bodies, strict=True)]
    outcomes: list[RowOutcome] = []
    for at in range(0, len(rows), plan.rows_per_batch):
        batch = Batch(operation, rows[at : at + plan.rows_per_batch], f"batch-{at}-{'-'.join(keys)}")
        outcomes += (await rig.destination.write(plan, batch)).outcomes
    return outcomes


def makes_fields(rig: DestinationRig) -> MakesFields:
    """The destination as one that makes fields."""
    assert isinstance(rig.destination, MakesFields)
    return rig.destination


async def rehearse(rig: DestinationRig, operation: Operation, *bodies: bytes) -> Sequence[RowOutcome]:
    """The outcomes of one rehearsal."""
    assert isinstance(rig.destination, RehearsesWrites)
    result = await rig.destination.rehearse(await rig.plan(operation), batch_of(operation, *bodies))
    return result.outcomes
