"""The contract of warehouses that tell where the keys of a query lie."""

import pytest

from tailrace.connector_kit.key_samples import SamplesKeys
from tailrace.connector_kit.warehouse import Reading
from tailrace.core.errors import SourceInvalid
from tailrace.core.rows import Column, ColumnKind
from tailrace.testing.warehouse_contract import WarehouseRig, collect, keys, read

_MANY = 2000
_TENTH = 0.1


class KeySampleContract:
    """Inherit it in a test class beside `WarehouseContract`; a fixture `rig` gives a `WarehouseRig`."""

    async def test_sample_of_all_has_every_key_and_none_with_a_null(self, rig: WarehouseRig) -> None:
        columns = [Column("x", ColumnKind.TEXT), Column("n", ColumnKind.INTEGER)]
        query = rig.query(columns, [["é", "10"], ["a", "2"], [None, "3"], ["b", None]])

        sample = await _sampling(rig).key_sample(Reading(query, ("x", "n")), part=1.0)

        assert sorted(sample) == [("a", "2"), ("é", "10")]

    async def test_sample_of_a_tenth_has_about_a_tenth_of_the_keys(self, rig: WarehouseRig) -> None:
        query = rig.query([Column("id", ColumnKind.INTEGER)], [[str(n)] for n in range(_MANY)])

        sample = await _sampling(rig).key_sample(Reading(query, ("id",)), part=_TENTH)

        # Twelve standard deviations around what is expected.
        assert abs(len(sample) - _MANY * _TENTH) < 160
        assert len(set(sample)) == len(sample)

    async def test_rows_are_counted_about(self, rig: WarehouseRig) -> None:
        query = rig.query([Column("id", ColumnKind.INTEGER)], [[str(n)] for n in range(_MANY)])

        assert _MANY / 2 <= await _sampling(rig).rows_about(query) <= _MANY * 2

    async def test_query_that_is_refused_is_not_counted(self, rig: WarehouseRig) -> None:
        with pytest.raises(SourceInvalid):
            await _sampling(rig).rows_about(rig.bad_query)


async def require_one_row(rig: WarehouseRig, query: str) -> None:
    """Return if a query gives one row with the key `a` in `id`, alone and as a part of others."""
    whole = await read(rig, query, "id")
    on = await collect(rig, Reading(query, ("id",), after=keys(whole)[0]))
    sample = await _sampling(rig).key_sample(Reading(query, ("id",)), part=1.0)

    assert keys(whole) == sample == [("a",)]
    assert on == []
    assert await _sampling(rig).rows_about(query) == 1


def _sampling(rig: WarehouseRig) -> SamplesKeys:
    assert isinstance(rig.warehouse, SamplesKeys)
    return rig.warehouse
