"""Rows as JSON: whatever the mapping, the bytes are those of an object with the fields in their order."""

import json
from decimal import Decimal, DecimalTuple
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.core.rows import Block, Column, ColumnKind, RowKey
from tailrace.core.settlements import Position
from tailrace.core.syncs import FieldMapping, SyncDefinition, SyncMode
from tailrace.pipeline.map_fields import Mapper

TEXTS = ["", "a", 'é"\\', "\n\t", "\U0001f600", "7"]
KINDS = {
    ColumnKind.TEXT: st.sampled_from(TEXTS),
    ColumnKind.INTEGER: st.integers(-(2**63), 2**63 - 1),
    ColumnKind.FLOAT: st.floats(allow_nan=False, allow_infinity=False),
    ColumnKind.DECIMAL: st.sampled_from(["0", "1.50", "-12345678901234567890.10", "0.000001"]),
    ColumnKind.BOOLEAN: st.booleans(),
    ColumnKind.JSON: st.sampled_from(['{"a":1}', "[1.50,null]", '"x"']),
}

columns = st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=6)
constants = st.none() | st.sampled_from(["", 'é"\\', "7"]) | st.integers(-9, 9)


@settings(deadline=None)
@given(st.data())
def test_row_is_the_object_of_its_fields_in_their_order(data: st.DataObject) -> None:
    kinds = data.draw(columns)
    values = tuple(data.draw(st.none() | KINDS[kind]) for kind in kinds)
    picked = data.draw(st.lists(st.integers(0, len(kinds) - 1) | constants.map(lambda value: (value,)), max_size=6))
    fields = [(f"f{at}", origin) for at, origin in enumerate([0, *picked])]
    mappings = tuple(
        FieldMapping(value=origin[0], destination=name)
        if isinstance(origin, tuple)
        else FieldMapping(source=f"c{origin}", destination=name, key=name == "f0")
        for name, origin in fields
    )

    [mapped] = _mapper(mappings, kinds).map_block(Block([values], [RowKey(("k",))]))

    texts = [
        json.dumps(origin[0], ensure_ascii=False) if isinstance(origin, tuple) else _json(kinds[origin], values[origin])
        for _, origin in fields
    ]
    expected = "{" + ",".join(f'"{name}":{text}' for (name, _), text in zip(fields, texts, strict=True)) + "}"
    assert mapped.problem is None
    assert json.loads(mapped.row.body, parse_float=_digits) == json.loads(expected, parse_float=_digits)
    assert list(json.loads(mapped.row.body)) == [name for name, _ in fields]


def test_key_that_is_no_number_is_refused_by_itself() -> None:
    key = FieldMapping(source="c0", destination="id", key=True)
    block = Block([("1.5",), ("NaN",)], [RowKey(("1.5",)), RowKey(("NaN",))])

    good, bad = _mapper((key,), [ColumnKind.DECIMAL]).map_block(block)

    assert good.problem is None
    assert bad.problem is not None
    assert (bad.problem.code, bad.problem.field) == ("NOT_REPRESENTABLE", "id")


def _mapper(mappings: tuple[FieldMapping, ...], kinds: list[ColumnKind]) -> Mapper:
    definition = SyncDefinition(
        source_id="s",
        source_query="SELECT",
        destination_id="d",
        object_name="o",
        field_mappings=mappings,
        sync_mode=SyncMode.UPSERT,
    )
    return Mapper(definition, [Column(f"c{at}", kind) for at, kind in enumerate(kinds)], Position())


def _digits(text: str) -> DecimalTuple:
    """Every digit of a number, however its exponent is written: 1e-05 is 0.00001, and 1.50 is not 1.5."""
    return Decimal(text).as_tuple()


def _json(kind: ColumnKind, value: Any) -> str:  # noqa: ANN401 - of any kind
    if value is None:
        return "null"
    return str(value) if kind in {ColumnKind.DECIMAL, ColumnKind.JSON} else json.dumps(value, ensure_ascii=False)
