import pytest

from tailrace.connector_kit.databricks_sql import Field
from tailrace.connector_kit.databricks_values import reader_of
from tailrace.core.errors import SourceInvalid
from tailrace.testing.warehouse_contract import told

_FIELDS = [Field("n", "bigint"), Field("is_paid", "boolean"), Field("total", "decimal(20,10)"), Field("name", "string")]


def test_texts_become_the_values_of_their_fields_and_keys_stay_texts() -> None:
    read = reader_of(_FIELDS)

    assert read(["9007199254740993", "true", "0E-10", "1", "key"]) == (
        9007199254740993,
        True,
        "0.0000000000",
        "1",
        "key",
    )
    assert read([None, "false", "12.50", None, "k"]) == (None, False, "12.50", None, "k")


@pytest.mark.parametrize(
    "texts",
    [
        ["private", "true", "1", "a", "k"],
        ["1", "private", "1", "a", "k"],
        ["1", "true", "PRIVATE", "a", "k"],
        ["1"],
        [["private"], "true", "1", "a", "k"],
    ],
)
def test_text_that_is_no_value_of_its_field_is_a_column_that_changed(texts: list[str | None]) -> None:
    with pytest.raises(SourceInvalid) as refused:
        reader_of(_FIELDS)(texts)

    assert refused.value.code == "SCHEMA_CHANGED"
    assert "private" not in told(refused.value).lower()
