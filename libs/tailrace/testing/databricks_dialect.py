"""Statements of Databricks as DuckDB carries them out, for `databricks_server`: translated by sqlglot, bent a little.

Bent are: options of `to_json` are left out; `from_json` and `make_dt_interval` are put in DuckDB's words; `DESCRIBE
QUERY` takes what sqlglot takes for one query. DuckDB divides decimals as floating point, and knows neither collations
nor VARIANT, for which its JSON stands.
"""

import re
from collections.abc import Mapping

import duckdb
from sqlglot import ErrorLevel, exp, parse
from sqlglot.errors import SqlglotError

MACRO = """
CREATE MACRO make_dt_interval(d, h, m, s) AS to_microseconds(CAST(round(CAST(s AS DOUBLE) * 1000000) AS BIGINT))
"""
"""What a database needs first."""

_DESCRIBE = re.compile(r"\s*DESCRIBE\s+QUERY\s(.*)", re.DOTALL | re.IGNORECASE)
_LISTS = ("'ARRAY<ARRAY<STRING>>'", """'[["VARCHAR"]]'""")
_NAMES: Mapping[str, str] = {
    "VARCHAR": "string",
    "INTEGER": "int",
    "HUGEINT": "decimal(38,0)",
    "BLOB": "binary",
    "TIMESTAMP WITH TIME ZONE": "timestamp",
    "TIMESTAMP": "timestamp_ntz",
    "JSON": "variant",
    "INTERVAL": "interval day to second",
    '"NULL"': "void",
}


class RefusedError(Exception):
    """What is said of a statement, with its SQLSTATE."""

    def __init__(self, words: str, state: str) -> None:
        super().__init__(f"{words} SQLSTATE: {state}")
        self.state = state


def described(statement: str) -> str | None:
    """The query that is only described; None of other statements."""
    found = _DESCRIBE.fullmatch(statement)
    return None if found is None else found[1]


def translated(statement: str, parameters: Mapping[str, str]) -> str:
    """The query in DuckDB's words.

    :raises RefusedError: it is not one query, or has markers without values.
    """
    try:
        trees = [tree for tree in parse(statement, read="databricks", error_level=ErrorLevel.RAISE) if tree is not None]
    except SqlglotError as error:
        raise RefusedError(f"[PARSE_SYNTAX_ERROR] Syntax error: {error}", "42601") from None
    if len(trees) != 1 or not isinstance(trees[0], exp.Query):
        raise RefusedError("[PARSE_SYNTAX_ERROR] Syntax error at or near the beginning.", "42601")
    tree = trees[0]
    for marker in [*tree.find_all(exp.Placeholder, exp.Parameter)]:
        if marker.name not in parameters:
            raise RefusedError(f"[UNBOUND_SQL_PARAMETER] No value for {marker.name}.", "42P02")
    for node in tree.find_all(exp.JSONFormat):
        node.set("options", None)
    return tree.sql(dialect="duckdb", identify=True).replace(*_LISTS)


def type_text(told: str) -> str:
    """A type of DuckDB by Databricks' name; what lies inside of nested ones is left as it is."""
    if told.endswith("]"):
        return f"array<{told}>"
    if told.startswith(("STRUCT", "MAP")):
        return f"{told.partition('(')[0].lower()}<{told}>"
    return _NAMES.get(told, told.lower().replace(" ", ""))


def refusal(error: duckdb.Error) -> RefusedError:
    """What Databricks would say; of an error about a value with that value."""
    match error:
        case duckdb.ConversionException() | duckdb.OutOfRangeException() | duckdb.InvalidInputException():
            return RefusedError(f"[CAST_INVALID_INPUT] {error}", "22018")
        case _:
            return RefusedError(f"[UNRESOLVED_QUERY] {error}", "42000")
