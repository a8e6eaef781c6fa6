"""Tasks have owners, queues have bounds, waits have ends."""

import ast
from collections.abc import Iterator

from tests.architecture.source import Module, last_name

_BOUNDED_QUEUES = {"Queue", "LifoQueue", "PriorityQueue"}
_OPENS_A_GROUP = {"TaskGroup", "side_by_side"}


def loose_task(module: Module) -> Iterator[str]:
    groups = _task_groups(module)
    for node in ast.walk(module.tree):
        match node:
            case ast.Call(func=called) if last_name(called) == "ensure_future":
                yield f"{node.lineno}: ensure_future has no owner"
            case ast.Call(func=ast.Name(id="create_task")):
                yield f"{node.lineno}: create_task outside a TaskGroup"
            case ast.Call(func=ast.Attribute(attr="create_task", value=owner)):
                if last_name(owner) not in groups:
                    yield f"{node.lineno}: create_task on something that is not a TaskGroup"


def unbounded_queue(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="asyncio"), attr=kind), args=[], keywords=[]):
                if kind in _BOUNDED_QUEUES:
                    yield f"{node.lineno}: asyncio.{kind} needs a maxsize"


def endless_acquire(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="acquire"), keywords=keywords):
                if all(keyword.arg != "timeout" for keyword in keywords):
                    yield f"{node.lineno}: acquire without a timeout"


def _task_groups(module: Module) -> set[str]:
    """The names of variables, arguments and attributes that hold a TaskGroup."""
    groups: set[str] = set()
    for node in ast.walk(module.tree):
        match node:
            case ast.withitem(context_expr=opened, optional_vars=ast.expr() as name) if _makes_group(opened):
                groups.add(last_name(name))
            case ast.Assign(targets=[name], value=value) if _makes_group(value):
                groups.add(last_name(name))
            case ast.AnnAssign(target=name, annotation=kind) if _mentions_group(kind):
                groups.add(last_name(name))
            case ast.arg(arg=argument, annotation=ast.expr() as kind) if _mentions_group(kind):
                groups.add(argument)
    groups |= {
        last_name(node.targets[0])
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Assign) and last_name(node.value) in groups - {""}
    }
    return groups - {""}


def _makes_group(value: ast.expr) -> bool:
    """`TaskGroup()` or `side_by_side()`, also inside `await stack.enter_async_context(...)`."""
    return any(isinstance(node, ast.Call) and last_name(node.func) in _OPENS_A_GROUP for node in ast.walk(value))


def _mentions_group(kind: ast.expr) -> bool:
    return any(last_name(node) == "TaskGroup" for node in ast.walk(kind))
