"""What is wrong with a mapping is told all at once, each at its place."""

from typing import Any

import pytest

from tailrace.connector_kit.destination import Clearing, Field
from tailrace.connector_kit.field_kinds import FieldKind
from tailrace.core.errors import Invalid
from tailrace.core.mappings import OnTypeMismatch
from tailrace.core.rows import Column, ColumnKind
from tailrace.core.syncs import SyncMode
from tailrace.mapping.accepted import Accepted
from tailrace.mapping.checks import columns_read, mapping_faults
from tailrace.mapping.compiled import compile_mapping
from tests.mapping.test_compiled import definition

COLUMNS = [Column("id", ColumnKind.INTEGER), Column("is_vip", ColumnKind.BOOLEAN), Column("at", ColumnKind.TIMESTAMP)]
FIELDS = [
    Field("Id", "Id", "id", updateable=False),
    Field("Score", "Score", "number", kind=FieldKind.NUMBER),
    Field("Made", "Made", "datetime", updateable=False, kind=FieldKind.TIMESTAMP),
    Field("Company", "Company", "string", required=True, kind=FieldKind.TEXT),
]
ACCEPTED = Accepted({field.name: field for field in FIELDS}, are_all=True, can_leave_out=False, clearing=Clearing.NOT)
COMPANY = {"value": "Acme", "destination": "Company"}


def faults(*mappings: dict[str, Any], **more: Any) -> list[tuple[int | None, str, str]]:  # noqa: ANN401 - of any field
    told = definition(*mappings, **more)
    return [(fault.at, fault.member, fault.kind) for fault in mapping_faults(told, COLUMNS, ACCEPTED)]


@pytest.mark.parametrize(
    ("mapping", "member", "kind"),
    [
        ({"source": "nowhere", "destination": "Score"}, "source", "column"),
        ({"template": "{{ nowhere }}", "destination": "Score"}, "template", "column"),
        ({"template": "{{ id | shout }}", "destination": "Score"}, "template", "template"),
        ({"source": "id", "destination": "Nowhere"}, "destination", "field"),
        ({"source": "at", "destination": "Made"}, "destination", "read_only"),
        ({"source": "is_vip", "destination": "Score"}, "destination", "type"),
        ({"source": "id", "destination": "Score", "hash": {"kind": "text"}}, "destination", "type"),
        ({"source": "is_vip", "destination": "Score", "cast": "date"}, "cast", "type"),
        ({"value": "many", "destination": "Score"}, "value", "type"),
        ({"source": "id", "destination": "Score", "on_null": "skip"}, "on_null", "on_null"),
        ({"source": "id", "destination": "Score", "on_null": "clear"}, "on_null", "on_null"),
    ],
)
def test_fault_is_told_at_its_place(mapping: dict[str, Any], member: str, kind: str) -> None:
    assert faults(COMPANY, mapping) == [(2, member, kind)]


def test_all_faults_are_told_at_once() -> None:
    found = faults({"source": "nowhere", "destination": "Nowhere"}, {"source": "is_vip", "destination": "Score"})

    assert found == [
        (1, "source", "column"),
        (1, "destination", "field"),
        (2, "destination", "type"),
        (None, "", "required"),
    ]


@pytest.mark.parametrize(
    "more",
    [{"sync_mode": SyncMode.UPDATE}, {"sync_mode": SyncMode.DELETE}],
)
def test_field_that_is_required_is_not_missed_where_no_row_is_added(more: dict[str, Any]) -> None:
    told = definition().model_copy(update=more)

    assert mapping_faults(told, COLUMNS, ACCEPTED) == []


def test_types_are_not_compared_where_values_are_sent_as_they_are() -> None:
    mapping = {"source": "is_vip", "destination": "Score"}

    assert faults(COMPANY, mapping, on_type_mismatch=OnTypeMismatch.SEND_AS_IS) == []


def test_field_that_is_not_listed_is_taken_where_the_list_is_not_all() -> None:
    some = Accepted({"Score": FIELDS[1]}, are_all=False)

    assert mapping_faults(definition({"source": "at", "destination": "Anything"}), COLUMNS, some) == []


def test_run_is_refused_with_everything_that_is_wrong() -> None:
    told = definition({"source": "is_vip", "destination": "Score"}, {"source": "at", "destination": "Made"})

    with pytest.raises(Invalid) as refused:
        compile_mapping(told, COLUMNS, ACCEPTED)

    assert refused.value.code == "MAPPING_INVALID"
    assert refused.value.message == (
        "field 'Score': the field holds number, which this never is; "
        "field 'Made': the destination fills this field itself: do not map it; "
        "the destination requires these fields too, map them: Company"
    )


def test_columns_of_templates_are_read_too() -> None:
    assert columns_read(definition({"template": "{{ at }}{{ is_vip }}", "destination": "F"})) == {"id", "at", "is_vip"}
