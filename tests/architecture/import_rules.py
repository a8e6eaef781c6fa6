"""What may be imported where, and what may be caught or mocked."""

import ast
from collections.abc import Iterator

from tests.architecture.listed import BROAD_EXCEPTS, LOCAL_IMPORTS
from tests.architecture.source import Module, functions, last_name, qualified_names

_EVERYTHING = {"Exception", "BaseException"}


def code_in_init(module: Module) -> Iterator[str]:
    if not module.path.endswith("/__init__.py"):
        return
    body = module.tree.body
    if not ast.get_docstring(module.tree):
        yield "1: no docstring"
    for node in body[1:]:
        yield f"{node.lineno}: more than a docstring"


def local_import(module: Module) -> Iterator[str]:
    names = qualified_names(module)
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and names[node]:
            place = f"{module.path}:{names[node]}"
            if place not in LOCAL_IMPORTS:
                yield f"{node.lineno}: import inside {names[node]}"


def type_checking_import(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.If) and last_name(node.test) == "TYPE_CHECKING":
            yield f"{node.lineno}: a type that needs TYPE_CHECKING shows a wrong boundary"


def broad_except(module: Module) -> Iterator[str]:
    for line, place in broad_places(module):
        if place not in BROAD_EXCEPTS:
            yield f"{line}: catches everything in {place}"


def broad_places(module: Module) -> Iterator[tuple[int, str]]:
    """Line and `path:function` of each place that catches everything and does not pass it on."""
    names = qualified_names(module)
    for node in ast.walk(module.tree):
        match node:
            case ast.ExceptHandler(type=caught, body=[*_, last]) if caught is None or _is_everything(caught):
                if isinstance(last, ast.Raise) and last.exc is None:
                    continue
                yield node.lineno, f"{module.path}:{names[node]}"
            case ast.Call(func=called, args=args) if last_name(called) == "suppress":
                if any(_is_everything(argument) for argument in args):
                    yield node.lineno, f"{module.path}:{names[node]}"


def local_import_places(module: Module) -> set[str]:
    """`path:function` of each function that imports."""
    return {
        f"{module.path}:{name}"
        for name, function in functions(module)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }


def mock(module: Module) -> Iterator[str]:
    ours = _names_of_ours(module)
    for node in ast.walk(module.tree):
        match node:
            case ast.ImportFrom(module=("unittest.mock" | "mock" | "pytest_mock")):
                yield f"{node.lineno}: use the real thing, or a fake that passes the same contract suite"
            case ast.ImportFrom(module="unittest", names=names) if any(alias.name == "mock" for alias in names):
                yield f"{node.lineno}: use the real thing, or a fake that passes the same contract suite"
            case ast.Import(names=names) if any(alias.name in {"unittest.mock", "mock"} for alias in names):
                yield f"{node.lineno}: use the real thing, or a fake that passes the same contract suite"
            case ast.Call(func=ast.Attribute(attr="setattr"), args=[target, *_]) if _is_ours(target, ours):
                yield f"{node.lineno}: patches our own code; pass the part in instead"


def _names_of_ours(module: Module) -> set[str]:
    return {
        alias.asname or alias.name.partition(".")[0]
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if (getattr(node, "module", None) or alias.name).startswith("tailrace")
    }


def _is_ours(target: ast.expr, ours: set[str]) -> bool:
    match target:
        case ast.Constant(value=str(path)):
            return path.startswith("tailrace")
        case ast.Name(id=name):
            return name in ours
        case ast.Attribute(value=inner):
            return _is_ours(inner, ours)
    return False


def _is_everything(caught: ast.expr) -> bool:
    if isinstance(caught, ast.Tuple):
        return any(_is_everything(part) for part in caught.elts)
    return last_name(caught) in _EVERYTHING
