"""Tables as CSV, RFC 4180 but for line ends, which are a line feed."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO


def csv_of(names: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """A table with these columns."""
    text = StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(names)
    table.writerows(rows)
    return text.getvalue().encode()


def rows_of(table: bytes) -> Iterable[Mapping[str, str]]:
    """The rows of a table, by the names of its columns."""
    return csv.DictReader(StringIO(table.decode(errors="replace"), newline=""))
