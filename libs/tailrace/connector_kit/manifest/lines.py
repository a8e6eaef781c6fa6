"""Where in its file a manifest is wrong: pydantic's places, found again in the syntax tree."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from traceback import extract_tb

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tailrace.connector_kit.manifest.parts import Part
from tailrace.core.faults import said

Place = Sequence[str | int]


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """Something that is wrong, and the line that says it."""

    line: int
    place: str
    what: str


def problems_in(path: Path, error: ValidationError) -> list[Problem]:
    """What pydantic says about a value that the file makes, by line."""
    line = last_line(path, error)
    call = _call_at(ast.parse(path.read_text()), line)
    told = error.errors(include_url=False, include_context=False, include_input=False)
    return sorted(
        Problem(
            _line(call, each["loc"], line), ".".join(map(str, each["loc"])) or "the whole", _what(error.title, each)
        )
        for each in told
    )


def last_line(path: Path, error: Exception) -> int:
    """The line of the file that an error came through last."""
    frames = extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.lineno and Path(frame.filename).resolve() == path.resolve()]
    return lines[-1] if lines else 1


def _what(model: str, told: ErrorDetails) -> str:
    """What pydantic says; of a name that there is not, which there are."""
    known = next((each.model_fields for each in _parts(Part) if each.__name__ == model), None)
    if told["type"] == "extra_forbidden" and len(told["loc"]) == 1 and known:
        return f"{model} has no {told['loc'][0]}; it has {', '.join(known)}"
    return said(told)


def _parts(part: type[Part]) -> Iterator[type[Part]]:
    for each in part.__subclasses__():
        yield each
        yield from _parts(each)


def _call_at(tree: ast.Module, line: int) -> ast.Call | None:
    """The outermost call that begins in a line: the one whose arguments were refused."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.lineno == line]
    return max(calls, key=lambda call: (call.end_lineno or line) - call.lineno, default=None)


def _line(node: ast.AST | None, place: Place, line: int) -> int:
    """The line of the innermost part of a place that the file writes out."""
    for step in place:
        found = _part(node, step)
        if found is not None:
            node, line = found, found.lineno
    return line


def _part(node: ast.AST | None, step: str | int) -> ast.expr | None:
    match node:
        case ast.Call(keywords=keywords):
            return next((each.value for each in keywords if each.arg == step), None)
        case ast.Dict(keys=keys, values=values):
            pairs = zip(keys, values, strict=True)
            return next((value for key, value in pairs if key is not None and _name(key) == step), None)
        case ast.Tuple(elts=parts) | ast.List(elts=parts) if isinstance(step, int) and step < len(parts):
            return parts[step]
    return None


def _name(key: ast.expr) -> str:
    """What a key of a mapping is called: its text, or the name of an enumeration's member."""
    match key:
        case ast.Constant(value=str(text)):
            return text
        case ast.Attribute(attr=name):
            return name.lower()
    return ""
