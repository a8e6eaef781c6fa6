"""How secrets may be handled."""

import ast
import re
from collections.abc import Iterator

from tests.architecture.source import Module

_SECRET = re.compile(r"(^|_)(hmac|mac|signature|seal|secret|checksum|pepper|password|token)$")
_BY_VALUE = ast.Eq | ast.NotEq


def compared_secret(module: Module) -> Iterator[str]:
    """`==` ends at the first byte that differs, which tells how many were right: `hmac.compare_digest` does not."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Compare) and any(isinstance(each, _BY_VALUE) for each in node.ops):
            sides = [node.left, *node.comparators]
            if any(_is_secret(side) for side in sides) and not any(isinstance(side, ast.Constant) for side in sides):
                yield f"{node.lineno}: compares {ast.unparse(node)}, which takes longer the more of it is right"


def _is_secret(node: ast.expr) -> bool:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return bool(_SECRET.search(name))
        case ast.Subscript(value=value, slice=ast.Constant(value=str(name))):
            return bool(_SECRET.search(name)) or _is_secret(value)
        case ast.Subscript(value=value):
            return _is_secret(value)
        case ast.Call(func=func):
            return _is_secret(func)
        case _:
            return False
