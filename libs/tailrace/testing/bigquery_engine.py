"""Carries out BigQuery's SQL with DuckDB, for the stand-in of its API.

What sqlglot leaves or bends is put right here. Where it still differs from BigQuery: decimals have ten digits behind
the point and keep zeros at their end, collations are not known, names may hold any character.

Its `default_time_zone`, which a project of BigQuery can set, is far from UTC: no text may be read by it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from types import MappingProxyType
from typing import Any

import duckdb
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

_MACROS = r"""
SET GLOBAL TimeZone = 'Asia/Kathmandu';
CREATE MACRO tailrace_trimmed(t) AS regexp_replace(t, '[.]?0+$', '');
CREATE MACRO tailrace_time(x) AS tailrace_trimmed(strftime(DATE '1970-01-01' + x, '%H:%M:%S.%f'));
CREATE MACRO tailrace_datetime(x) AS tailrace_trimmed(strftime(x, '%Y-%m-%dT%H:%M:%S.%f'));
CREATE MACRO tailrace_timestamp(x, zone) AS tailrace_datetime(timezone(zone, x)) || 'Z';
CREATE MACRO tailrace_json(x) AS CAST(to_json(x) AS VARCHAR);
CREATE MACRO tailrace_sha256(x) AS unhex(sha256(x));
CREATE MACRO tailrace_to_hex(x) AS lower(hex(x));
"""
_RENAMED: Mapping[str, str] = {
    "FORMAT_TIME('%H:%M:%E*S', ": "TAILRACE_TIME(",
    "FORMAT_DATETIME('%E4Y-%m-%dT%H:%M:%E*S', ": "TAILRACE_DATETIME(",
    "FORMAT_TIMESTAMP('%E4Y-%m-%dT%H:%M:%E*SZ', ": "TAILRACE_TIMESTAMP(",
    "TO_JSON_STRING(": "TAILRACE_JSON(",
    "SHA256(": "TAILRACE_SHA256(",
    "TO_HEX(": "TAILRACE_TO_HEX(",
}
_BYTES = frozenset({exp.DataType.Type.BINARY, exp.DataType.Type.VARBINARY})
_TYPES: Sequence[tuple[str, str]] = (
    (r'(HUGE|BIG|SMALL|TINY)?INT(EGER)?|"NULL"', "INTEGER"),
    (r"DOUBLE|FLOAT", "FLOAT"),
    (r"DECIMAL.*", "NUMERIC"),
    (r"BOOLEAN", "BOOLEAN"),
    (r"DATE", "DATE"),
    (r"TIME", "TIME"),
    (r"TIMESTAMP", "DATETIME"),
    (r"TIMESTAMP WITH TIME ZONE", "TIMESTAMP"),
    (r"BLOB", "BYTES"),
    (r"JSON", "JSON"),
    (r"STRUCT.*", "RECORD"),
    (r"INTERVAL", "INTERVAL"),
)


class Refused(Exception):
    """What BigQuery would answer with an error."""

    def __init__(
        self, status: int, reason: str, message: str, headers: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.headers = headers


@dataclass(frozen=True, slots=True)
class Translated:
    """One statement in DuckDB's words."""

    sql: str
    kind: str
    names: Sequence[str]


class Engine:
    """A project's tables, in memory."""

    def __init__(self) -> None:
        self._database = duckdb.connect(config={"threads": 2, "autoinstall_known_extensions": False})
        self._database.execute(_MACROS)
        self._lock = Lock()

    def close(self) -> None:
        """Forget everything."""
        self._database.close()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A session of its own, which another thread may interrupt."""
        with self._lock:
            return self._database.cursor()

    def run(self, sql: str) -> None:
        """As the owner of the tables, in DuckDB's own words."""
        self.cursor().execute(sql)

    def schema(self, statement: Translated) -> Sequence[Mapping[str, str]]:
        """The columns of a query, as BigQuery describes them, without running it."""
        low = [name.casefold() for name in statement.names]
        twins = sorted({name for name in low if name and name != "*" and low.count(name) > 1})
        if twins:
            told = f"Duplicate column names in the result are not supported. Found duplicate(s): {', '.join(twins)}"
            raise Refused(400, "invalidQuery", told)
        try:
            described = self.cursor().execute(f"DESCRIBE {statement.sql}").fetchall()
        except duckdb.CatalogException as error:
            raise Refused(404, "notFound", f"Not found: {error}") from error
        except duckdb.Error as error:
            raise Refused(400, "invalidQuery", str(error)) from error
        is_named = "*" not in statement.names and len(statement.names) == len(described)
        names = (
            [given or f"f{at}_" for at, given in enumerate(statement.names)] if is_named else [d[0] for d in described]
        )
        return [_field(name, each[1]) for name, each in zip(names, described, strict=True)]


def translated(sql: str, arguments: Sequence[Mapping[str, Any]]) -> Translated:
    """A script of one statement for DuckDB; of several, only its kind."""
    for ours, macro in _RENAMED.items():
        sql = sql.replace(ours, macro)
    try:
        trees = [tree for tree in sqlglot.parse(sql, read="bigquery") if tree is not None]
    except SqlglotError as error:
        raise Refused(400, "invalidQuery", f"Syntax error: {error}") from error
    if len(trees) != 1:
        return Translated("", "SCRIPT", ())
    tree = trees[0]
    if not isinstance(tree, exp.Query):
        return Translated("", tree.key.upper(), ())
    names = tree.named_selects
    given = iter(arguments)
    for place in [*tree.find_all(exp.Placeholder, bfs=False)]:
        place.replace(_argument(next(given)))
    written = tree.transform(_put_right).sql(dialect="duckdb")
    return Translated(written, "SELECT", names)


def values_of(row: Sequence[object]) -> Mapping[str, object]:
    """A row as BigQuery writes it."""
    return {"f": [{"v": _value(value)} for value in row]}


def _argument(given: Mapping[str, Any]) -> exp.Expression:
    value = given["parameterValue"]
    if "arrayValues" not in value:
        return exp.Literal.string(value["value"])
    return exp.Array(expressions=[exp.Literal.string(each["value"]) for each in value["arrayValues"]])


def _put_right(node: exp.Expression) -> exp.Expression:
    if isinstance(node, exp.Cast) and node.to.this in _BYTES:
        return exp.Anonymous(this="ENCODE", expressions=[exp.cast(node.this, "TEXT")])
    if isinstance(node, exp.DataType) and node.this in {exp.DataType.Type.BIGDECIMAL, exp.DataType.Type.DECIMAL}:
        return exp.DataType.build("DECIMAL(38, 10)", dialect="duckdb")
    return node


def _field(name: str, type_name: str) -> Mapping[str, str]:
    inner = type_name.removesuffix("[]")
    found = next((known for pattern, known in _TYPES if re.fullmatch(pattern, inner)), "STRING")
    return {"name": name, "type": found, "mode": "NULLABLE" if inner == type_name else "REPEATED"}


def _value(value: object) -> object:
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case float():
            return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(repr(value), repr(value))
    return str(value)
