import pytest

from tailrace.connector_kit.copy_text import Layout, TextRows
from tailrace.core.rows import ColumnKind

KINDS = [ColumnKind.INTEGER, ColumnKind.TEXT, ColumnKind.BOOLEAN, ColumnKind.FLOAT, ColumnKind.DECIMAL]
CLEAN = [b"1\tAda\ttrue\t0.5\t1.50", "22\té 😀\tfalse\t-1e-7\t-0.00".encode()]
ODD = [b"3\t\t\\N\tNaN\t7", b"\\N\ta\\tb\\\\N\\n\ttrue\t\\N\t\\N", b"4\t\\N\tfalse\t1\t0"]


@pytest.mark.parametrize("lines", [[], CLEAN, ODD, CLEAN + ODD], ids=["none", "clean", "odd", "both"])
@pytest.mark.parametrize("at", range(len(KINDS)))
def test_column_has_the_cells_of_its_rows(lines: list[bytes], at: int) -> None:
    rows = TextRows(b"\n".join(lines), Layout(KINDS))

    assert list(map(repr, rows.column(at))) == [repr(row[at]) for row in rows]
