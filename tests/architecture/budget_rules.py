"""Sizes and docstrings."""

import ast
from collections.abc import Iterator

from tests.architecture.source import Function, Module, functions, last_name

MODULE_LINES = 350
FUNCTION_LINES = 60

# A subclass of anything else keeps a promise that is written in its base.
_BASES_WITHOUT_PROMISE = {"ABC", "Protocol", "Generic", "BaseModel", "BaseSettings", "Exception", "StrEnum"}


def long_module(module: Module) -> Iterator[str]:
    lines = len(module.text.splitlines())
    if lines > MODULE_LINES:
        yield f"1: {lines} lines"


def long_function(module: Module) -> Iterator[str]:
    for name, function in functions(module):
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        if lines > FUNCTION_LINES:
            yield f"{function.lineno}: {name} has {lines} lines"


def missing_docstring(module: Module) -> Iterator[str]:
    if not ast.get_docstring(module.tree):
        yield "1: the module has no docstring"
    for node in module.tree.body:
        yield from _undocumented(node, "")


def _undocumented(node: ast.stmt, prefix: str) -> Iterator[str]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            if _is_public(node.name) and not _is_part_of_another(node) and not ast.get_docstring(node):
                yield f"{node.lineno}: {prefix}{node.name} has no docstring"
        case ast.ClassDef() if _is_public(node.name):
            if not ast.get_docstring(node):
                yield f"{node.lineno}: {prefix}{node.name} has no docstring"
            if _makes_its_own_promise(node):
                for child in node.body:
                    yield from _undocumented(child, f"{prefix}{node.name}.")


def _is_public(name: str) -> bool:
    """A test of a shipped contract suite is named by its sentence."""
    return not name.startswith(("_", "test_"))


def _is_part_of_another(function: Function) -> bool:
    """An overload, or the setter of a property whose docstring stands on the getter."""
    return any(last_name(mark) in {"overload", "override", "setter"} for mark in function.decorator_list)


def _makes_its_own_promise(node: ast.ClassDef) -> bool:
    bases = [base.value if isinstance(base, ast.Subscript) else base for base in node.bases]
    return all(last_name(base) in _BASES_WITHOUT_PROMISE for base in bases)
