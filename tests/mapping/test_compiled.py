"""A row through its mapping: which fields it has, what keeps it back, and the same bytes as the quick way."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.connector_kit.destination import Clearing, Field
from tailrace.connector_kit.field_kinds import FieldKind
from tailrace.core.errors import Invalid
from tailrace.core.mappings import Cast, Hash, OnNull, OnTypeMismatch
from tailrace.core.rows import Block, Column, ColumnKind, RowKey, RowOutcome
from tailrace.core.settlements import Position
from tailrace.core.syncs import FieldMapping, SyncDefinition, SyncMode
from tailrace.mapping.accepted import ANYTHING, Accepted
from tailrace.mapping.compiled import CompiledMapping, compile_mapping
from tailrace.pipeline.map_fields import Mapper

COLUMNS = [
    Column("id", ColumnKind.INTEGER),
    Column("name", ColumnKind.TEXT),
    Column("score", ColumnKind.TEXT),
    Column("price", ColumnKind.DECIMAL),
    Column("ratio", ColumnKind.FLOAT),
    Column("extra", ColumnKind.JSON),
]
KEY = {"source": "id", "destination": "Id", "key": True}
ROW = (7, "Jo", "12", "1.50", 0.5, '{"a":1}')
NUMBER = Accepted({"Score": Field("Score", "Score", "number", kind=FieldKind.NUMBER)}, are_all=False)


def definition(*mappings: dict[str, Any], **more: Any) -> SyncDefinition:  # noqa: ANN401 - of any field
    return SyncDefinition(
        source_id="s",
        source_query="SELECT",
        destination_id="d",
        object_name="o",
        field_mappings=tuple(FieldMapping.model_validate(each) for each in (KEY, *mappings)),
        sync_mode=SyncMode.UPSERT,
        **more,
    )


def compiled(*mappings: dict[str, Any], accepted: Accepted = ANYTHING, **more: Any) -> CompiledMapping:  # noqa: ANN401 - of any field
    return compile_mapping(definition(*mappings, **more), COLUMNS, accepted)


def encoded(
    *mappings: dict[str, Any],
    row: tuple[object, ...] = ROW,
    accepted: Accepted = ANYTHING,
    **more: Any,  # noqa: ANN401 - of any field
) -> tuple[dict[str, Any], RowOutcome | None]:
    body, problem = compiled(*mappings, accepted=accepted, **more).encode(row)
    return orjson.loads(body), problem


@pytest.mark.parametrize(
    ("mapping", "sent"),
    [
        ({"source": "score", "cast": "integer"}, 12),
        ({"source": "score", "cast": "number"}, 12),
        ({"source": "price", "cast": "string"}, "1.50"),
        ({"source": "extra", "cast": "string"}, '{"a":1}'),
        ({"source": "extra"}, {"a": 1}),
        ({"value": "5", "cast": "integer"}, 5),
        ({"template": "{{ name }}-{{ price | times: 2 }}"}, "Jo-3.00"),
        ({"template": "{{ score }}", "cast": "integer"}, 12),
        ({"template": "{{ extra.a }}"}, "1"),
        ({"value": None}, None),
    ],
)
def test_field_is_made_by_its_mapping(mapping: dict[str, Any], sent: object) -> None:
    assert encoded({**mapping, "destination": "F"}) == ({"Id": 7, "F": sent}, None)


def test_hash_comes_after_the_cast_and_shows_nothing_of_the_value() -> None:
    body, problem = encoded({"source": "score", "destination": "H", "cast": "number", "hash": {"kind": "text"}})

    assert problem is None
    assert body["H"] == "6b51d431df5d7f141cbececcf79edf3dd861c3b4069f0b11661a3eefacbba918"


@pytest.mark.parametrize(
    ("on_null", "clearing", "sent"),
    [
        (OnNull.SEND, Clearing.BY_EMPTY_TEXT, {"Id": 7, "Name": None}),
        (OnNull.SKIP, Clearing.BY_NULL, {"Id": 7}),
        (OnNull.CLEAR, Clearing.BY_NULL, {"Id": 7, "Name": None}),
        (OnNull.CLEAR, Clearing.BY_EMPTY_TEXT, {"Id": 7, "Name": ""}),
    ],
)
def test_field_without_a_value_goes_as_its_policy_says(
    on_null: OnNull, clearing: Clearing, sent: dict[str, Any]
) -> None:
    mapping = {"source": "name", "destination": "Name", "on_null": on_null}

    assert encoded(mapping, row=(7, None, *ROW[2:]), accepted=Accepted(clearing=clearing)) == (sent, None)


def test_template_that_makes_nothing_is_null() -> None:
    mapping = {"template": "{{ name }}", "destination": "Name", "on_null": "skip"}

    assert encoded(mapping, row=(7, None, *ROW[2:])) == ({"Id": 7}, None)


def test_value_that_the_field_cannot_take_rejects_the_row_and_names_the_field() -> None:
    body, problem = encoded(
        {"source": "score", "destination": "Score"}, row=(7, "Jo", "many", *ROW[3:]), accepted=NUMBER
    )

    assert problem is not None
    assert (problem.code, problem.field, problem.message) == ("TYPE_MISMATCH", "Score", "field 'Score' needs a number")
    assert body == {"Id": 7, "Score": "many"}


def test_value_that_was_to_be_hashed_is_not_kept_in_the_clear() -> None:
    mapping = {"source": "name", "destination": "Email", "hash": {"kind": "email", "platform": "meta"}}

    body, problem = encoded(mapping)

    assert problem is not None
    assert (problem.message, body) == ("field 'Email' needs an e-mail address", {"Id": 7, "Email": None})


def test_value_that_the_field_cannot_take_is_null_where_the_sync_says_so() -> None:
    mapping = {"source": "score", "destination": "Score", "on_null": "skip"}
    row = (7, "Jo", "many", *ROW[3:])

    made = encoded(mapping, row=row, accepted=NUMBER, on_type_mismatch=OnTypeMismatch.SEND_NULL)

    assert made == ({"Id": 7}, None)


def test_value_that_the_field_cannot_take_ends_the_run_where_the_sync_says_so() -> None:
    mapping = compiled(
        {"source": "score", "destination": "Score"}, accepted=NUMBER, on_type_mismatch=OnTypeMismatch.FAIL_RUN
    )

    with pytest.raises(Invalid) as ended:
        mapping.encode((7, "Jo", "many", *ROW[3:]))

    assert ended.value.code == "TYPE_MISMATCH"
    assert "many" not in ended.value.message


def test_mapping_whose_values_have_to_be_fitted_is_not_plain() -> None:
    mapping = {"source": "score", "destination": "Score"}

    assert (compiled(mapping).is_plain, compiled(mapping, accepted=NUMBER).is_plain) == (True, False)


def test_nothing_is_fitted_where_the_sync_sends_values_as_they_are() -> None:
    mapping = compiled(
        {"source": "score", "destination": "Score"}, accepted=NUMBER, on_type_mismatch=OnTypeMismatch.SEND_AS_IS
    )

    assert mapping.is_plain


def test_key_without_a_value_once_it_is_mapped_rejects_the_row() -> None:
    key = FieldMapping(source="name", destination="Key", key=True, hash=Hash())
    told = definition().model_copy(update={"field_mappings": (key,)})

    _, problem = compile_mapping(told, COLUMNS).encode((7, "", *ROW[2:]))

    assert problem is not None
    assert (problem.code, problem.field) == ("EMPTY_KEY", "Key")


def test_number_that_json_cannot_hold_rejects_the_row() -> None:
    _, problem = encoded({"source": "ratio", "destination": "R", "on_null": "skip"}, row=(*ROW[:4], float("nan"), None))

    assert problem is not None
    assert (problem.code, problem.field) == ("NOT_REPRESENTABLE", "R")


def test_mapper_sends_what_the_mapping_makes_and_keeps_a_key_as_it_was_sent() -> None:
    key = FieldMapping(source="id", destination="Id", key=True, cast=Cast.STRING)
    name = FieldMapping(template="{{ name | upcase }}", destination="Name")
    told = definition().model_copy(update={"field_mappings": (key, name)})

    [row] = Mapper(told, COLUMNS, Position()).map_block(Block([ROW], [RowKey(("7",))]))

    assert (row.row.body, row.written, row.problem) == (b'{"Id":"7","Name":"JO"}', b'{"Id":"7"}', None)


VALUES = {
    ColumnKind.TEXT: st.sampled_from(["", "a", 'é"\\', "\n", "\U0001f600", "7"]),
    ColumnKind.INTEGER: st.integers(-(2**63), 2**63 - 1),
    ColumnKind.FLOAT: st.floats(allow_nan=False, allow_infinity=False),
    ColumnKind.DECIMAL: st.sampled_from(["0", "1.50", "-12345678901234567890.10"]),
    ColumnKind.BOOLEAN: st.booleans(),
    ColumnKind.TIMESTAMP: st.just("2026-01-31T12:00:00Z"),
    ColumnKind.JSON: st.sampled_from(['{"a":1}', "[1.50,null]", '"x"']),
}


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.data())
def test_plain_mapping_gives_the_same_bytes_on_both_ways(data: st.DataObject) -> None:
    kinds = data.draw(st.lists(st.sampled_from(list(VALUES)), max_size=5))
    cells = ("k", *(data.draw(st.none() | VALUES[kind]) for kind in kinds))
    constants = data.draw(st.lists(st.none() | st.booleans() | st.integers(-9, 9) | st.just("é"), max_size=3))
    columns = [Column("c0", ColumnKind.TEXT), *(Column(f"c{at + 1}", kind) for at, kind in enumerate(kinds))]
    mappings = [
        FieldMapping(source="c0", destination="key", key=True),
        *(FieldMapping(source=f"c{at + 1}", destination=f"f{at}") for at in range(len(kinds))),
        *(FieldMapping(value=value, destination=f"v{at}") for at, value in enumerate(constants)),
    ]
    told = definition().model_copy(update={"field_mappings": tuple(mappings)})

    exact = compile_mapping(told, columns)
    [quick] = Mapper(told, columns, Position()).map_block(Block([cells], [RowKey(("k",))]))

    assert exact.is_plain
    assert exact.encode(cells) == (quick.row.body, None)
