"""How DuckDB writes the values of its types: for the driver to fetch, or as cells of a line of text."""

from dataclasses import dataclass

from tailrace.core.rows import ColumnKind

_KINDS = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT"), ColumnKind.INTEGER),
    **dict.fromkeys(("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"), ColumnKind.INTEGER),
    **dict.fromkeys(("HUGEINT", "UHUGEINT", "BIGNUM", "DECIMAL"), ColumnKind.DECIMAL),
    **dict.fromkeys(("FLOAT", "DOUBLE"), ColumnKind.FLOAT),
    **dict.fromkeys(("DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"), ColumnKind.TIMESTAMP),
    "TIMESTAMP WITH TIME ZONE": ColumnKind.TIMESTAMP,
    "BOOLEAN": ColumnKind.BOOLEAN,
    "JSON": ColumnKind.JSON,
}
_AS_THEY_ARE = frozenset({ColumnKind.INTEGER, ColumnKind.BOOLEAN})
# The shortest decimal of a FLOAT differs from the shortest of the same number as DOUBLE.
_CASTS = {"FLOAT": "{}::VARCHAR::DOUBLE", "DOUBLE": "{}", "BLOB": "'\\x' || lower(hex({}))", "JSON": "{}::VARCHAR"}
_TIMES = "replace(replace({}::VARCHAR, '+00', 'Z'), ' ', 'T')"
_NESTED = ("STRUCT", "MAP", "UNION")
# The backslash comes first, since those of the others are to stay.
_ESCAPES = {r"'\'": r"'\\'", "'\t'": r"'\t'", "'\n'": r"'\n'"}
_TEXT_OF_NULL = r"'\N'"
_MAY_HOLD_ANYTHING = frozenset({ColumnKind.TEXT, ColumnKind.JSON})


@dataclass(frozen=True, slots=True)
class ReadColumn:
    """A column of the query, and its type in SQL."""

    name: str
    type_name: str

    @property
    def kind(self) -> ColumnKind:
        """How its values arrive."""
        if self.type_name.startswith(_NESTED) or self.type_name.endswith("]"):
            return ColumnKind.JSON
        return _KINDS.get(self.type_name.partition("(")[0], ColumnKind.TEXT)

    @property
    def holds_loose_json(self) -> bool:
        """Whether there may be JSON as somebody wrote it: DuckDB takes `nan`, `inf` and a comma before an end in it."""
        return "JSON" in self.type_name

    @property
    def projection(self) -> str:
        """A value as the driver gives it: exact, as text wherever Python or JSON would lose something."""
        name, kind = quote_name(self.name), self.kind
        if self.type_name in _CASTS:
            return _CASTS[self.type_name].format(name)
        if kind in _AS_THEY_ARE:
            return name
        if kind is ColumnKind.TIMESTAMP:
            return _TIMES.format(name)
        return f"to_json({name})::VARCHAR" if kind is ColumnKind.JSON else f"{name}::VARCHAR"

    @property
    def cell(self) -> str:
        """The text of a value in a line; times still have a space before the time of day, and `+00` for the zone."""
        if self.kind in _MAY_HOLD_ANYTHING:
            return _escaped(self.projection)
        return f"coalesce({quote_name(self.name)}::VARCHAR, {_TEXT_OF_NULL})"

    def key_cell(self, text: str) -> str:
        """The text of a key in a line, from the text that it is compared by."""
        return _escaped(text) if self.kind in _MAY_HOLD_ANYTHING else f"coalesce({text}, {_TEXT_OF_NULL})"


def quote_name(name: str) -> str:
    """A name as an identifier of DuckDB."""
    return '"' + name.replace('"', '""') + '"'


def _escaped(text: str) -> str:
    """No tab, no line break and no bare backslash is left. To look for them takes less than to replace them."""
    # Columns of different collations do not go into one line.
    escaped = text = f"({text}) COLLATE C"
    for sign, written in _ESCAPES.items():
        escaped = f"replace({escaped}, {sign}, {written})"
    is_odd = " OR ".join(f"contains({text}, {sign})" for sign in _ESCAPES)
    return f"coalesce(CASE WHEN {is_odd} THEN {escaped} ELSE {text} END, {_TEXT_OF_NULL})"
