"""What is MySQL's own about rows that it hashes: how changed rows are found, and of what a hash is made."""

from collections.abc import AsyncIterator, Sequence

import pytest
import pytest_asyncio

from tailrace.connector_kit.mysql_hashes import between_keys
from tailrace.connector_kit.mysql_sql import knows_windows
from tailrace.connector_kit.row_hashes import Hashing
from tailrace.connector_kit.warehouse import Reading
from tailrace.core.rows import RowKey
from tailrace.testing.mariadb_server import MariaDb
from tailrace.testing.row_hash_contract import hashes
from tailrace.testing.warehouse_contract import keys
from tests.warehouses.mysql_rig import MySqlRig, open_rig

pytestmark = pytest.mark.xdist_group("mariadb")

_MANY = "CREATE TABLE people (id int, twin int, name varchar(80), PRIMARY KEY (id))"
_FILL = "INSERT INTO people SELECT seq, seq, concat('p', seq) FROM seq_1_to_60000"


@pytest_asyncio.fixture
async def rig(mariadb: MariaDb) -> AsyncIterator[MySqlRig]:
    async with open_rig(mariadb) as opened:
        yield opened


def execute(rig: MySqlRig, *statements: str) -> None:
    with rig.admin.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@pytest.mark.parametrize(
    ("query", "key", "is_quick"),
    [
        ("SELECT * FROM people", "id", True),
        ("SELECT id, p.name FROM people AS p JOIN (SELECT 1 AS one) AS o", "id", True),
        ("SELECT * FROM people", "twin", False),
        ("SELECT twin, count(*) AS n FROM people GROUP BY twin", "twin", False),
    ],
)
async def test_rows_are_looked_for_where_an_index_finds_them(
    rig: MySqlRig, query: str, key: str, *, is_quick: bool
) -> None:
    execute(rig, _MANY, _FILL, "ANALYZE TABLE people")

    async with rig.warehouse.compare(Reading(query, (key,)), Hashing([key], 7)) as seen:
        assert await seen.finds_quickly([RowKey((str(number),)) for number in range(1, 101)]) is is_quick


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("binary(4)", [b"\x00\x01", b"\xff\xfe\x00\x00"]),
        ("varchar(9) CHARACTER SET latin1 COLLATE latin1_german1_ci", ["Z\u00fcrich", "zurich", "z "]),
        ("enum('sad', 'OK')", ["OK", "sad"]),
        ("bit(9)", [b"\x01\x01", b"\x00\x02"]),
        ("time(1)", ["-104:05:06.7", "10:00:00"]),
        ("year", ["1999", "2026"]),
        ("bigint unsigned", ["18446744073709551615", "7"]),
        ("decimal(30, 10)", ["1.5", "-12345678901234567890"]),
        ("date", ["2026-03-01", "1969-01-02"]),
    ],
)
async def test_rows_are_found_by_keys_of_any_type(rig: MySqlRig, column: str, values: Sequence[object]) -> None:
    execute(rig, f"CREATE TABLE t (id {column}, a int)")
    with rig.admin.cursor() as cursor:
        cursor.executemany("INSERT INTO t VALUES (%s, 1)", [(value,) for value in values])

    async with rig.warehouse.compare(Reading("SELECT * FROM t", ("id",)), Hashing(["a"], 7)) as seen:
        found = [key for block in [some async for some in seen.hashes()] for key in block.keys if key is not None]
        fetched = [some async for some in seen.rows_of(found)]

    assert keys(fetched) == found
    assert len(found) == len(values)


async def test_hash_covers_long_values_to_their_last_character(rig: MySqlRig) -> None:
    execute(rig, "CREATE TABLE t (id int, a longtext, b varchar(4000))")
    long = "x" * 100_000
    rows = [(1, long + "1", "y"), (2, long + "2", "y"), (3, "", long[:3999] + "1"), (4, "", long[:3999] + "2")]
    with rig.admin.cursor() as cursor:
        cursor.executemany("INSERT INTO t VALUES (%s, %s, %s)", rows)

    found = await hashes(rig, "SELECT * FROM t", Hashing(["a", "b"], 7))

    assert len(set(found.values())) == len(rows)


async def test_row_too_long_to_be_hashed_is_never_taken_for_known(rig: MySqlRig) -> None:
    execute(rig, "CREATE TABLE t (id int, a varchar(200))", "INSERT INTO t VALUES (1, 'x')")
    columns = {f"c{number}": f"rpad(a, 256, '\U0001f600') AS c{number}" for number in range(16)}
    query = f"SELECT id, {', '.join(columns.values())} FROM t"
    execute(rig, "SET @before = @@global.max_allowed_packet", "SET GLOBAL max_allowed_packet = 8192")
    try:
        found = await hashes(rig, query, Hashing(list(columns), 7))
    finally:
        execute(rig, "SET GLOBAL max_allowed_packet = @before")

    assert found == {("1",): 0}


@pytest.mark.parametrize(
    ("hashes_rows", "is_asked_for", "is_named"), [(True, False, True), (False, False, False), (False, True, True)]
)
async def test_server_hashes_where_it_is_told_to(
    rig: MySqlRig, *, hashes_rows: bool, is_asked_for: bool, is_named: bool
) -> None:
    chosen = rig.settings.model_copy(update={"hashes_rows": hashes_rows})
    async with type(rig.warehouse).open(chosen) as warehouse:
        assert (await warehouse.row_hash(is_asked_for=is_asked_for) is not None) is is_named


async def test_lines_say_what_hashes_say_and_part_no_rows_of_a_key(rig: MySqlRig) -> None:
    execute(
        rig,
        "CREATE TABLE t (id int, a varchar(20))",
        "INSERT INTO t SELECT if(seq BETWEEN 59990 AND 60010, 60000, seq), seq FROM seq_1_to_125000",
        "INSERT INTO t VALUES (NULL, 'x'), (-7, NULL)",
    )

    async with rig.warehouse.compare(Reading("SELECT * FROM t", ("id",)), Hashing(["a"], 7)) as seen:
        blocks = [block async for block in seen.hashes()]
        lines = seen.lines()
        assert lines is not None
        async with lines as found:
            texts = [text.decode() async for text in found]

    told = [
        ("\\N" if key is None else key[0], row_hash) for block in blocks for key, row_hash in zip(*block, strict=True)
    ]
    cells = [[line.split("\t") for line in text.splitlines()] for text in texts]
    keys_of_texts = [{key for _, key in some} for some in cells]
    assert sorted((key, int(row_hash)) for some in cells for row_hash, key in some) == sorted(told)
    assert [key for some in cells for _, key in some] == [key for key, _ in told]
    assert len(texts) > 2
    assert sum(map(len, keys_of_texts)) == len(set().union(*keys_of_texts)) == 125_000 - 20 + 2


@pytest.mark.parametrize("query", ["SELECT a AS id, a FROM t", "SELECT 1.5 AS id, a FROM t"])
async def test_lines_are_of_whole_numbers_alone(rig: MySqlRig, query: str) -> None:
    execute(rig, "CREATE TABLE t (a text)")

    async with rig.warehouse.compare(Reading(query, ("id",)), Hashing(["a"], 7)) as seen:
        assert seen.lines() is None


@pytest.mark.parametrize("cut", ["1\t10\n2\t1", "1\t10"])
async def test_lines_that_the_server_cuts_off_are_not_believed(cut: str) -> None:
    async def read() -> AsyncIterator[Sequence[tuple[int, str]]]:
        yield [(4, "0\t-1"), (4, "1\t10")]
        yield [(9, cut)]

    assert [text async for text in between_keys(read())] == [b"0\t-1\n", b""]


@pytest.mark.parametrize(
    ("version", "knows"),
    [
        ("8.0.36", True),
        ("8.4.0-commercial", True),
        ("5.7.44-log", False),
        ("10.1.48-MariaDB", False),
        ("5.5.5-10.6.12-MariaDB-log", True),
        ("11.4.2-MariaDB", True),
    ],
)
def test_rows_are_numbered_by_servers_that_can(version: str, *, knows: bool) -> None:
    assert knows_windows(version) is knows
