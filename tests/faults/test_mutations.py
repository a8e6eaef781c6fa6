"""The mutations can still be made, and the tests that have to notice them are there. `make mutations` tries them."""

import ast
from collections import Counter

import pytest

from tests.architecture.source import ROOT
from tests.faults.mutations.catalogue import MUTATIONS
from tests.faults.mutations.mutation import Mutation
from tests.faults.named import missing

AT_LEAST = 70


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_mutation_applies_and_names_tests_that_exist(mutation: Mutation) -> None:
    text = mutation.mutated(ROOT)

    assert text != (ROOT / mutation.path).read_text()
    assert mutation.tests
    assert [test for test in mutation.tests if missing(test)] == []


@pytest.mark.parametrize(
    "mutation", [one for one in MUTATIONS if one.path.endswith(".py")], ids=lambda mutation: mutation.name
)
def test_mutated_code_can_be_read(mutation: Mutation) -> None:
    assert ast.parse(mutation.mutated(ROOT)).body


def test_mutations_are_many_and_told_apart() -> None:
    names = Counter(mutation.name for mutation in MUTATIONS)

    assert len(names) == names.total() >= AT_LEAST
