import pytest
from prometheus_client.parser import text_string_to_metric_families

from tailrace.observe import metrics


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


def test_code_of_ours_labels_as_it_is() -> None:
    assert metrics.error_code_label("NULL_KEY") == "NULL_KEY"


def test_code_of_a_destination_does_not_make_a_label() -> None:
    assert metrics.error_code_label("INVALID_EMAIL_8f2e") == metrics.OTHER
