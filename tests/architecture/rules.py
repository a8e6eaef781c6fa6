"""The rules of the house that no off-the-shelf linter keeps; each finds what breaks it in one module."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.architecture import async_rules, budget_rules, import_rules, secret_rules, text_rules
from tests.architecture.source import Module

Find = Callable[[Module], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule and where it holds; `find` yields `line: what is wrong` for each break."""

    name: str
    find: Find
    holds_in: tuple[str, ...]

    def breaks(self, module: Module) -> list[str]:
        if not module.path.startswith(self.holds_in):
            return []
        return [f"{module.path}:{found}" for found in self.find(module)]


PRODUCT = ("libs/", "services/")
EVERYWHERE = (*PRODUCT, "tests/")

RULES = (
    Rule("a module has at most 350 lines", budget_rules.long_module, EVERYWHERE),
    Rule("a function has at most 60 lines", budget_rules.long_function, EVERYWHERE),
    Rule("a public name has a docstring", budget_rules.missing_docstring, PRODUCT),
    Rule("__init__.py holds a docstring only", import_rules.code_in_init, PRODUCT),
    Rule("imports stand at the top", import_rules.local_import, EVERYWHERE),
    Rule("no import for type checkers alone", import_rules.type_checking_import, EVERYWHERE),
    Rule("our own code is not mocked", import_rules.mock, EVERYWHERE),
    Rule("everything is caught at listed edges only", import_rules.broad_except, PRODUCT),
    Rule("a task lives in a TaskGroup", async_rules.loose_task, EVERYWHERE),
    Rule("a queue has a bound", async_rules.unbounded_queue, PRODUCT),
    Rule("waiting for a connection has a timeout", async_rules.endless_acquire, ("libs/tailrace/store/",)),
    Rule("a secret is compared in constant time", secret_rules.compared_secret, PRODUCT),
    Rule("a silenced warning says why", text_rules.silenced_without_reason, EVERYWHERE),
)
