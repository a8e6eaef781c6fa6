"""Templates: what they make, what they may not ask for, and where they end."""

import pytest

from tailrace.core.rows import ColumnKind
from tailrace.mapping.filters import Number
from tailrace.mapping.templates import TemplateInvalid, reader, template
from tailrace.mapping.values import Mismatch

ADDRESS = reader(ColumnKind.JSON)('{"city": "Bern", "tags": ["a", "b"], "rate": 1.50}')


@pytest.mark.parametrize(
    ("text", "cells", "made"),
    [
        ("{{ first | upcase }} {{ last }}", {"first": "jo", "last": None}, "JO "),
        ("{{ ['Full Name'] | split: ' ' | last }}", {"Full Name": "Jo Doe"}, "Doe"),
        ("{% if n > 10 %}big{% else %}small{% endif %}", {"n": Number("10.01")}, "big"),
        ("{% case n %}{% when 1 %}one{% else %}more{% endcase %}", {"n": 1}, "one"),
        ("{{ n | times: 1.1 }} {{ n | divided_by: 2 }}", {"n": Number("19.90")}, "21.890 9.95"),
        ("{{ n | plus: 0.2 | round: 1 }}", {"n": Number("0.1")}, "0.3"),
        ("{{ n | divided_by: 2 }}", {"n": 7}, "3"),
        ("{{ d | date: '%-d %B %Y, %H:%M' }}", {"d": "2026-01-05T10:00:00Z"}, "5 January 2026, 10:00"),
        ("{{ a.city }} {{ a.tags | join: '/' }} {{ a.rate }}", {"a": ADDRESS}, "Bern a/b 1.50"),
        ("{{ a.street | default: 'none' }}", {"a": ADDRESS}, "none"),
        ("{% if a.street %}yes{% else %}no{% endif %}", {"a": ADDRESS}, "no"),
        ("{% for tag in a.tags %}<{{ tag }}>{% endfor %}", {"a": ADDRESS}, "<a><b>"),
        ("{{ a }}", {"a": ADDRESS}, '{"city":"Bern","tags":["a","b"],"rate":1.50}'),
        ("{{ t | truncate: 6 }}{{ t | slice: 0, 2 }}{{ t.size }}", {"t": "abcdefgh"}, "abc...ab8"),
        ("{{ t | replace: 'b', 'x' | url_encode }}", {"t": "a b"}, "a+x"),
    ],
)
def test_template_makes_text_of_cells(text: str, cells: dict[str, object], made: str) -> None:
    assert template(text).render(cells) == made


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{{ a", "not Liquid"),
        ("{% if a %}", "not Liquid"),
        ("{% include 'a' %}", "unexpected tag 'include'"),
        ("{% render 'a' %}", "unexpected tag 'render'"),
        ("{{ a | shout }}", "there is no filter 'shout'; there are abs, append"),
        ("{{ a | append }}", "'append' takes another number of arguments"),
        ("{% for i in (1..9999999999) %}x{% endfor %}", "takes no ranges"),
        ("{% assign x = (1..9999999999) %}{{ x | join }}", "takes no ranges"),
        ("{{ [a] }}", "names its columns itself"),
        ("{{ partial }}", "cannot read a column named 'partial'"),
        ("{% if a %}" * 40 + "{% endif %}" * 40, "nesting"),
    ],
)
def test_template_that_asks_for_too_much_is_refused(text: str, words: str) -> None:
    with pytest.raises(TemplateInvalid, match=words.replace("(", r"\(")):
        template(text)


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        pytest.param("{{ a.street }}", {"a": ADDRESS}, id="path that leads nowhere"),
        pytest.param("{{ n | plus: 1 }}", {"n": "x"}, id="no number"),
        pytest.param("{{ n | divided_by: 0 }}", {"n": 7}, id="division by zero"),
        pytest.param("{% if n > 10 %}{% endif %}", {"n": "x"}, id="no comparison"),
        pytest.param("{{ 'now' | date: '%Y' }}", {}, id="no clock"),
        pytest.param("{{ d | date: '%Q' }}", {"d": "2026-01-05"}, id="unknown directive"),
        pytest.param("{% for i in l %}{% for j in l %}x{% endfor %}{% endfor %}", {"l": [0] * 100}, id="loops"),
        pytest.param("{{ t | replace: '', t }}", {"t": "x" * 5000}, id="long text"),
        pytest.param(
            "{% for i in l %}{% assign t = t | append: t %}{% endfor %}{{ t }}", {"l": [0] * 900, "t": "x"}, id="growth"
        ),
        pytest.param("{% for i in l %}{{ t }}{% endfor %}", {"l": [0] * 900, "t": "x" * 1000}, id="output"),
    ],
)
def test_template_that_cannot_be_rendered_says_what_it_needs(text: str, cells: dict[str, object]) -> None:
    with pytest.raises(Mismatch):
        template(text).render(cells)


def test_template_knows_its_columns_and_no_clock() -> None:
    made = template("{% assign x = a %}{{ x }}{{ b.c | default: d }}{% if a %}{% assign now = a %}{% endif %}{{ now }}")

    assert made.columns == ("a", "b", "d")
    assert made.render({"a": None, "b": {}, "d": "y"}) == "y"
