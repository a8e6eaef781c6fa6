import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.connector_kit.sql import one_statement, quote_name
from tailrace.core.errors import Invalid


@pytest.mark.parametrize(
    ("name", "quoted"),
    [("a", '"a"'), ('a"b', '"a""b"'), ("a;b--", '"a;b--"'), ("é", '"é"'), ("x" * 63, f'"{"x" * 63}"')],
)
def test_name_is_quoted_by_doubling(name: str, quoted: str) -> None:
    assert quote_name(name) == quoted


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 64, "é" * 32])
def test_name_that_would_become_another_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="no name in PostgreSQL"):
        quote_name(name)


@pytest.mark.parametrize(
    ("query", "statement"),
    [
        ("SELECT 1", "SELECT 1"),
        ("SELECT 1;", "SELECT 1"),
        ("SELECT 1 ; -- x", "SELECT 1 "),
        ("SELECT ';';", "SELECT ';'"),
        ("SELECT 'it''s;';", "SELECT 'it''s;'"),
        ("SELECT '\\';';", "SELECT '\\'"),
        ("SELECT E'\\';';", "SELECT E'\\';'"),
        ("SELECT name'\\';';", "SELECT name'\\'"),
        ('SELECT ";";', 'SELECT ";"'),
        ("SELECT $$;$$;", "SELECT $$;$$"),
        ("SELECT $a$;$$;$a$;", "SELECT $a$;$$;$a$"),
        ("SELECT a$b$;$b$", "SELECT a$b$"),
        ("SELECT 1 -- ;\n, 2;", "SELECT 1 -- ;\n, 2"),
        ("SELECT 1 -- ;\r, 2;", "SELECT 1 -- ;\r, 2"),
        ("SELECT /* ; /* ; */ ; */ 1;", "SELECT /* ; /* ; */ ; */ 1"),
        ("SELECT 1 /* ;", "SELECT 1 /* ;"),
        ("SELECT 'open ;", "SELECT 'open "),
        ("", ""),
        (";", ""),
    ],
)
def test_statement_ends_at_the_first_semicolon_that_counts(query: str, statement: str) -> None:
    assert one_statement(query) == statement


@given(st.text(alphabet="a;'\"$-/*\\\nEeb \r\t", max_size=60))
def test_any_text_is_cut_where_it_stands(text: str) -> None:
    statement = one_statement(text)

    assert text.startswith(statement)
    assert text[len(statement) :][:1] in {"", ";"}
