import ast
from importlib import import_module

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tailrace.core.rows import IN_DOUBT
from tailrace.observe import metrics
from tests.architecture.source import python_modules


def test_every_metric_is_ours_and_described() -> None:
    families = list(text_string_to_metric_families(metrics.exposition().decode()))

    assert families
    assert [family.name for family in families if not family.name.startswith("tailrace_")] == []
    assert [family.name for family in families if not family.documentation] == []


@pytest.mark.parametrize("name", ["tailrace_run_duration_seconds", "tailrace_loop_lag_seconds"])
def test_time_is_measured_in_seconds(name: str) -> None:
    names = [family.name for family in text_string_to_metric_families(metrics.exposition().decode())]

    assert name in names


def test_count_shows_in_the_exposition() -> None:
    before = metrics.REGISTRY.get_sample_value("tailrace_runs_total", {"status": "succeeded"}) or 0

    metrics.RUNS.labels("succeeded").inc()

    assert metrics.REGISTRY.get_sample_value("tailrace_runs_total", {"status": "succeeded"}) == before + 1


def codes_of_rows() -> set[str]:
    """The codes with which the pipeline and the mapping reject rows."""
    found = set[str]()
    for module in python_modules():
        if module.path.startswith(("libs/tailrace/pipeline/", "libs/tailrace/mapping/")):
            calls = (node for node in ast.walk(module.tree) if isinstance(node, ast.Call))
            names = [call.args[0] for call in calls if isinstance(call.func, ast.Name) and call.func.id == "rejected"]
            found |= {_constant(module.path, name.id) for name in names if isinstance(name, ast.Name)}
    return found


def _constant(path: str, name: str) -> str:
    return str(getattr(import_module(path.removeprefix("libs/").removesuffix(".py").replace("/", ".")), name))


def test_code_of_ours_labels_as_it_is() -> None:
    codes = codes_of_rows() | {IN_DOUBT}

    assert len(codes) > 8
    assert {metrics.error_code_label(code) for code in codes} == codes


def test_code_of_a_destination_does_not_make_a_label() -> None:
    assert metrics.error_code_label("INVALID_EMAIL_8f2e") == metrics.OTHER
