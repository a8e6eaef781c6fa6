import pytest

from tailrace.connector_kit.field_kinds import FieldKind, field_kind


@pytest.mark.parametrize(
    ("data_type", "kind"),
    [
        ("character varying(20)", FieldKind.TEXT),
        ("numeric(10,2)", FieldKind.NUMBER),
        ("double precision", FieldKind.NUMBER),
        ("bigint", FieldKind.INTEGER),
        ("timestamp(3) with time zone", FieldKind.TIMESTAMP),
        ("timestamp without time zone", FieldKind.TIMESTAMP),
        ("time without time zone", FieldKind.TIME),
        ("date", FieldKind.DATE),
        ("jsonb", FieldKind.OBJECT),
        ("integer[]", FieldKind.LIST),
        ("enumeration", FieldKind.TEXT),
        ("picklist", FieldKind.TEXT),
        ("currency", FieldKind.NUMBER),
        ("bool", FieldKind.BOOLEAN),
        ("app.mail", FieldKind.ANY),
        ("", FieldKind.ANY),
    ],
)
def test_words_of_vendors_for_types_become_one_vocabulary(data_type: str, kind: FieldKind) -> None:
    assert field_kind(data_type) is kind


def test_word_that_means_something_else_to_a_vendor_is_taken_as_that_vendor_means_it() -> None:
    assert field_kind("date", {"date": FieldKind.TIMESTAMP}) is FieldKind.TIMESTAMP
