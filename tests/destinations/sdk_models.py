"""What a vendor's SDK sends, read from the files of the generated client without importing it."""

import ast
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import files
from pathlib import Path
from typing import Any

_PLAIN = {"str": "string", "bool": "boolean", "int": "integer", "object": "object"}


def requests_of(package: str, module: str) -> Mapping[tuple[str, str], str]:
    """The name of the body's model, by method and path, of every call of an API's module."""
    tree = tree_of(package, module)
    found = {}
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef) and function.name.endswith("_with_http_info"):
            path, method = next(_calls(function))
            body = re.search(r":param (batch_\w+):", ast.get_docstring(function) or "")
            found[method, path] = body[1] if body else ""
    return found


def tree_of(package: str, module: str) -> ast.Module:
    """The syntax of a module."""
    return ast.parse(file_of(package, module).read_text())


def schema_of(package: str, models: str, name: str) -> dict[str, Any]:
    """The JSON Schema of a model, by its name in either spelling, with those that it holds."""
    file = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    tree = tree_of(package, f"{models}/{file}.py")
    model = next(node for node in tree.body if isinstance(node, ast.ClassDef))
    types, names = _assigned(model, "openapi_types"), _assigned(model, "attribute_map")
    return {
        "type": "object",
        "properties": {names[each]: _schema(package, models, kind) for each, kind in types.items()},
        "required": sorted(names[each] for each in types if each in _always_set(model)),
        "additionalProperties": False,
    }


def _schema(package: str, models: str, kind: str) -> dict[str, Any]:
    if kind in _PLAIN:
        return {"type": _PLAIN[kind]}
    of_list, of_dict = re.fullmatch(r"list\[(.+)\]", kind), re.fullmatch(r"dict\[str, (.+)\]", kind)
    if of_list:
        return {"type": "array", "items": _schema(package, models, of_list[1])}
    if of_dict:
        return {"type": "object", "additionalProperties": _schema(package, models, of_dict[1])}
    return schema_of(package, models, kind)


def _calls(function: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "call_api":
            path, method = node.args[:2]
            yield ast.literal_eval(path), ast.literal_eval(method)


def _assigned(model: ast.ClassDef, name: str) -> dict[str, str]:
    for node in model.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == name:
            return dict(ast.literal_eval(node.value))
    return {}


def _always_set(model: ast.ClassDef) -> set[str]:
    """What the initializer sets whatever was given: the client refuses to go without."""
    [init] = [node for node in model.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"]
    targets = [node.targets[0] for node in init.body if isinstance(node, ast.Assign)]
    return {target.attr for target in targets if isinstance(target, ast.Attribute)}


def file_of(package: str, path: str) -> Path:
    """A file of an installed package."""
    [found] = [each for each in files(package) or () if str(each) == path]
    return Path(str(found.locate()))
