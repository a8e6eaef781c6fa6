"""The first rows of a query, of a warehouse whose numbers are larger than those of JSON's readers."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tailrace.core.errors import SourceInvalid
from tailrace.warehouses.duckdb import LOCAL_FILES, DuckDbSettings, DuckDbWarehouse
from tailrace_gateway.first_rows import read_first

_MIB = 1024 * 1024


@pytest_asyncio.fixture
async def warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DuckDbWarehouse]:
    (tmp_path / "rows.csv").write_text("id\n1\n2\n")
    monkeypatch.setenv(LOCAL_FILES, str(tmp_path))
    async with DuckDbWarehouse.open(DuckDbSettings(files={"rows": "rows.csv"})) as opened:
        yield opened


async def test_number_beyond_64_bits_is_shown_as_text(warehouse: DuckDbWarehouse) -> None:
    [row] = await read_first(warehouse, f"SELECT {2**100}::HUGEINT AS n, 5 AS m", limit=1, limit_bytes=_MIB)

    assert row == {"n": str(2**100), "m": 5}


async def test_number_that_is_none_to_json_is_not_shown_as_null(warehouse: DuckDbWarehouse) -> None:
    query = "SELECT 'nan'::DOUBLE AS a, '-inf'::DOUBLE AS b, 1.5::DOUBLE AS c"
    [row] = await read_first(warehouse, query, limit=1, limit_bytes=_MIB)

    assert row == {"a": "NaN", "b": "-Infinity", "c": 1.5}


async def test_json_that_others_cannot_read_is_shown_as_text(warehouse: DuckDbWarehouse) -> None:
    [row] = await read_first(warehouse, "SELECT ['nan'::DOUBLE, 1] AS a, [1.5] AS b", limit=1, limit_bytes=_MIB)

    assert row == {"a": "[NaN,1.0]", "b": [1.5]}


async def test_no_more_rows_than_asked_for(warehouse: DuckDbWarehouse) -> None:
    assert len(await read_first(warehouse, "SELECT id FROM rows -- all", limit=1, limit_bytes=_MIB)) == 1


async def test_rows_of_too_many_bytes_are_refused(warehouse: DuckDbWarehouse) -> None:
    with pytest.raises(SourceInvalid, match="lower the limit"):
        await read_first(warehouse, "SELECT repeat('x', 2000) AS text FROM rows", limit=2, limit_bytes=3000)
