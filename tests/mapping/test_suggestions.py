"""Columns are suggested for the fields that they are most likely meant for."""

from tailrace.connector_kit.destination import Field
from tailrace.connector_kit.field_kinds import FieldKind
from tailrace.core.rows import Column, ColumnKind
from tailrace.mapping.suggestions import suggest

TEXT = ColumnKind.TEXT


def pairs(columns: list[Column], fields: list[Field]) -> dict[str, str]:
    return {each.source: each.destination for each in suggest(columns, fields)}


def test_names_are_compared_without_the_habits_of_warehouses_and_vendors() -> None:
    columns = [Column(name, TEXT) for name in ("account_id", "surname", "email_address", "phone_number", "zzz")]
    fields = [
        Field("External_Id__c", "Account Id", "string"),
        Field("LastName", "Last Name", "string"),
        Field("Email", "E-mail", "email"),
        Field("Phone", "Phone", "phone"),
    ]

    assert pairs(columns, fields) == {
        "account_id": "External_Id__c",
        "surname": "LastName",
        "email_address": "Email",
        "phone_number": "Phone",
    }


def test_field_is_suggested_once_for_the_column_that_is_most_alike() -> None:
    columns = [Column("emails", TEXT), Column("email", TEXT)]

    assert pairs(columns, [Field("Email", "Email", "email")]) == {"email": "Email"}


def test_column_whose_kind_never_fits_is_not_suggested() -> None:
    columns = [Column("score", ColumnKind.BOOLEAN)]

    assert suggest(columns, [Field("Score", "Score", "number", kind=FieldKind.NUMBER)]) == []


def test_values_that_have_to_be_converted_are_told_and_count_for_less() -> None:
    [found] = suggest([Column("score", TEXT)], [Field("Score", "Score", "number", kind=FieldKind.NUMBER)])

    assert (found.is_converted, found.score) == (True, 0.95)
