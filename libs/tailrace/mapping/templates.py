"""Templates in Liquid: text made of columns, without files, clocks or work that has no end.

Tags and filters are closed lists. Names have to be columns, which is checked before the first row. Within a column of
JSON, a path that leads nowhere refuses the row, unless `default` or `if` takes care of it. Loops, texts and output are
bounded, and there are no ranges, so that a template takes a few milliseconds at most.
"""

import inspect
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from liquid import BoundTemplate, Environment, Node, RenderContext
from liquid.builtin import content, illegal, output
from liquid.builtin.expressions import FilteredExpression, Path
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.builtin.tags import assign_tag, capture_tag, case_tag, comment_tag, for_tag, if_tag, unless_tag
from liquid.exceptions import LiquidError
from liquid.expression import Expression
from liquid.undefined import FalsyStrictUndefined

from tailrace.core.rows import ColumnKind
from tailrace.mapping.filters import FILTERS, TEXT_LIMIT, Document, Number
from tailrace.mapping.values import Convert, Mismatch, to_number

LOOPS_LIMIT = 1000
"""How often the loops of a template go round in all, for one row."""

_TAGS = (
    assign_tag.AssignTag,
    capture_tag.CaptureTag,
    case_tag.CaseTag,
    comment_tag.CommentTag,
    for_tag.BreakTag,
    for_tag.ContinueTag,
    for_tag.ForTag,
    if_tag.IfTag,
    unless_tag.UnlessTag,
)
_TAKEN = "partial"
"""A name that the engine gives a meaning of its own."""

_NO_CLOCK: dict[str, object] = {"now": None, "today": None}
"""Stands before names that the engine would give the time for."""


class TemplateInvalid(ValueError):
    """The template can never be rendered; `str()` says why and what to do."""


class _Templates(Environment):
    loop_iteration_limit = LOOPS_LIMIT
    local_namespace_limit = 4 * TEXT_LIMIT
    output_stream_limit = TEXT_LIMIT

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        for tag in (content.Literal, output.Output, illegal.Illegal, *_TAGS):
            self.add_tag(tag)
        for name, made in FILTERS.items():
            self.add_filter(name, made)


@dataclass(frozen=True, slots=True)
class Template:
    """A template that was found to be sound, and the columns that it reads, sorted."""

    text: str
    columns: tuple[str, ...]
    bound: BoundTemplate

    def render(self, cells: Mapping[str, object]) -> str:
        """The text for a row, given the cells of `columns` as `readers` makes them.

        :raises Mismatch: the template cannot be rendered with these.
        """
        try:
            return self.bound.render(_NO_CLOCK | dict(cells))
        except Mismatch:
            raise
        except (LiquidError, ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
            # The engine's own words may hold the value.
            raise Mismatch(f"cells that the template can be rendered with ({type(error).__name__})") from None


@lru_cache(maxsize=512)
def template(text: str) -> Template:
    """The template of a text.

    :raises TemplateInvalid: it is no Liquid, or asks for what templates here do not know.
    """
    try:
        bound = _ENVIRONMENT.from_string(text)
        found = bound.analyze(include_partials=False)
        expressions = list(_expressions(bound.nodes, RenderContext(bound)))
    except (LiquidError, RecursionError) as error:
        raise TemplateInvalid(f"the template is not Liquid as it is known here: {_told(error)}") from None
    _check_filters(expressions)
    if any(isinstance(each, Path) and not isinstance(each.path[0], str) for each in expressions):
        raise TemplateInvalid("a template names its columns itself: write the name where a value would give it")
    if any(isinstance(each, RangeLiteral) for each in expressions):
        raise TemplateInvalid("a template takes no ranges such as (1..9): loop over a list of a JSON column")
    if _TAKEN in found.globals:
        raise TemplateInvalid(f"a template cannot read a column named {_TAKEN!r}: give it another name in the query")
    return Template(text, tuple(sorted(found.globals)), bound)


def reader(kind: ColumnKind) -> Convert:
    """Makes cells of this kind what templates reckon with and look into."""
    return _READERS.get(kind, lambda value: value)


def _numeric(value: object) -> object:
    try:
        return Number(to_number(value))
    except Mismatch:
        return str(value)


def _document(value: object) -> object:
    try:
        return json.loads(str(value), parse_float=Number, object_hook=Document)
    except json.JSONDecodeError:
        raise Mismatch("JSON") from None


_READERS: Mapping[ColumnKind, Convert] = {
    ColumnKind.DECIMAL: _numeric,
    ColumnKind.FLOAT: _numeric,
    ColumnKind.JSON: _document,
}
_ENVIRONMENT = _Templates(undefined=FalsyStrictUndefined)


def _expressions(nodes: Iterable[Node], context: RenderContext) -> Iterator[Expression]:
    for node in nodes:
        for expression in node.expressions():
            yield from _within(expression)
        yield from _expressions(node.children(context, include_partials=False), context)


def _within(expression: Expression) -> Iterator[Expression]:
    yield expression
    for child in expression.children():
        yield from _within(child)


def _check_filters(expressions: Sequence[Expression]) -> None:
    for used in (
        each for found in expressions if isinstance(found, FilteredExpression) for each in found.filters or ()
    ):
        made = FILTERS.get(used.name)
        if made is None:
            raise TemplateInvalid(f"there is no filter {used.name!r}; there are {', '.join(FILTERS)}")
        try:
            inspect.signature(made).bind(None, *used.args)
        except TypeError:
            raise TemplateInvalid(f"the filter {used.name!r} takes another number of arguments") from None


def _told(error: Exception) -> str:
    return str(error).partition("\n")[0] if isinstance(error, LiquidError) else "it is nested too deeply"
