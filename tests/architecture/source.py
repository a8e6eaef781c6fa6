"""The files of the house as the architecture tests read them."""

import ast
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("libs/", "services/")
_BY_PRODUCTS = {"__pycache__", "build", "dist", "target"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Module:
    """One Python file: its path from the root of the repository, its text and its syntax tree."""

    path: str
    text: str
    tree: ast.Module

    @property
    def is_product(self) -> bool:
        return self.path.startswith(PRODUCT)


def parse(path: str, text: str) -> Module:
    return Module(path, text, ast.parse(text, filename=path))


@cache
def python_modules() -> tuple[Module, ...]:
    """Every Python file of the product and of its tests, committed or about to be."""
    return tuple(parse(path, (ROOT / path).read_text()) for path in files() if path.endswith(".py"))


@cache
def files() -> tuple[str, ...]:
    """The paths of all files that git tracks or would add; of an unpacked archive, all that are no by-products."""
    paths = _listed_by_git() or walked(ROOT)
    return tuple(path for path in sorted(set(paths)) if path and (ROOT / path).is_file())


def walked(folder: Path) -> Iterator[str]:
    """The files below a folder, leaving out what begins with a dot and what Python or Maven left there."""
    for path in folder.rglob("*"):
        inside = path.relative_to(folder)
        if not any(part.startswith(".") or part in _BY_PRODUCTS for part in inside.parts):
            yield inside.as_posix()


def functions(module: Module) -> Iterator[tuple[str, Function]]:
    """Each function with its name as `Class.method`, nested ones too."""
    yield from _functions(module.tree, "")


def qualified_names(module: Module) -> dict[ast.AST, str]:
    """For each node, the innermost function around it; the empty string outside all of them."""
    names: dict[ast.AST, str] = dict.fromkeys(ast.walk(module.tree), "")
    for name, function in functions(module):
        names.update(dict.fromkeys(ast.walk(function), name))
    return names


def last_name(node: ast.AST) -> str:
    """`c` for `a.b.c` and for `c`; the empty string for anything else."""
    match node:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def _listed_by_git() -> list[str]:
    """Nothing where there is no git, or no repository of the user's own."""
    git = shutil.which("git")
    if git is None:
        return []
    listed = subprocess.run(
        [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
        timeout=30,
    )
    return listed.stdout.split("\0") if listed.returncode == 0 else []


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, Function]]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield prefix + name, child
                yield from _functions(child, f"{prefix}{name}.")
            case ast.ClassDef(name=name):
                yield from _functions(child, f"{prefix}{name}.")
            case _:
                yield from _functions(child, prefix)
