"""Tests that are named elsewhere, by the id that pytest takes."""

import ast
from functools import cache

from tests.architecture.source import ROOT, functions, python_modules


def missing(test: str) -> str | None:
    """The part of a test's id that does not exist; a suite that is inherited may stand elsewhere."""
    path, *names = test.partition("[")[0].split("::")
    if not (ROOT / path).is_file():
        return path
    return next((name for name in names if name not in _known_names()), None)


@cache
def _known_names() -> set[str]:
    """Of all functions, methods and classes."""
    known = {part for module in python_modules() for name, _ in functions(module) for part in name.split(".")}
    return known | {
        node.name for module in python_modules() for node in module.tree.body if isinstance(node, ast.ClassDef)
    }
