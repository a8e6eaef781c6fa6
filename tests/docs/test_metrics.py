"""The page of metrics is what the code tells: no metric more, no label less, and who tells it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from prometheus_client.metrics import MetricWrapperBase

from tailrace.core.due import TickOutcome
from tailrace.core.runs import RunStatus
from tailrace.observe import metrics
from tailrace.pipeline.spool import Refusal
from tailrace.store.grants import ROLES
from tests.architecture.source import ROOT, python_modules

PAGE = (ROOT / "deploy" / "docs" / "metrics.md").read_text()

_ROW = re.compile(r"^\| `(tailrace_\w+)` \| (\w+) \| (.*?) ?\| (\w+) \| (.+?) \| (\w+) \| (.+) \|$", re.MULTILINE)
_VALUES = re.compile(r"^\| `(\w+)` \| (`tailrace_.+?`) \| (.+) \|$", re.MULTILINE)
_WORD = re.compile(r"`([\w/]+)`")
_USED = re.compile(r"\b(?:metrics\.)?({})\b".format("|".join(n for n in vars(metrics) if n.isupper())))
_IMPORTED = re.compile(r"^from tailrace\.observe(\.metrics import| import .*\bmetrics\b)", re.MULTILINE)
_READERS = {"scheduler", "executor", "dlq"}
# A relay publishes wherever events are committed, and measures where it looks everywhere.
_TELLERS = {
    "libs/tailrace/pipeline": {"executor"},
    "libs/tailrace/bus/consume.py": _READERS,
    "libs/tailrace/bus/kafka_subscription.py": _READERS,
    "libs/tailrace/bus/relay.py:EVENTS": set(ROLES),
    "libs/tailrace/bus/relay.py:OUTBOX_PENDING": {"scheduler"},
    "libs/tailrace/bus/relay.py:OUTBOX_AGE": {"scheduler"},
    "libs/tailrace/runtime/loop_lag.py": set(ROLES),
}


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the page."""

    name: str
    type: str
    labels: tuple[str, ...]
    unit: str
    told_by: frozenset[str]
    over: str
    tells: str


ROWS = {
    name: Row(name, kind, tuple(_WORD.findall(labels)), unit, frozenset(by.split(", ")), over, tells)
    for name, kind, labels, unit, by, over, tells in _ROW.findall(PAGE)
}
CODE: dict[str, tuple[str, MetricWrapperBase]] = {
    next(iter(metric.describe())).name + ("_total" if metric._type == "counter" else ""): (name, metric)
    for name, metric in vars(metrics).items()
    if isinstance(metric, MetricWrapperBase)
}


def values(label: str, name: str) -> set[str]:
    """What the page says a label of a metric may be."""
    [said] = [words for key, of, words in _VALUES.findall(PAGE) if key == label and name in _WORD.findall(of)]
    return set(_WORD.findall(said.partition(";")[0]))


def used() -> Iterator[tuple[str, set[str]]]:
    """Each metric by its name in the code, with the services that a place in the code belongs to."""
    for module in python_modules():
        path = module.path
        if not module.is_product or not _IMPORTED.search(module.text):
            continue
        for found in set(_USED.findall(module.text)) & {constant for constant, _ in CODE.values()}:
            service = re.match(r"services/tailrace_(\w+)/", path)
            told = _TELLERS.get(f"{path}:{found}") or _TELLERS.get(path) or _TELLERS.get(path.rpartition("/")[0])
            if service:
                yield found, {service[1]}
            elif told:
                yield found, told


def test_page_holds_every_metric_and_no_other() -> None:
    assert len(ROWS) > 20
    assert list(ROWS) == list(CODE)


def test_all_metrics_of_the_code_are_registered_there() -> None:
    assert [name.removesuffix("_total") for name in CODE] == [family.name for family in metrics.REGISTRY.collect()]


@pytest.mark.parametrize("name", CODE)
def test_type_labels_and_unit_are_those_of_the_code(name: str) -> None:
    _, metric = CODE[name]
    row = ROWS[name]
    units = [unit for unit in ("seconds", "bytes") if name.endswith(f"_{unit}")]

    assert (row.type, row.labels) == (metric._type, metric._labelnames)
    assert [row.unit] == units if units else row.unit not in {"seconds", "bytes"}
    assert row.over in {"sum", "max"}
    assert row.type == "gauge" or row.over == "sum"


@pytest.mark.parametrize("name", CODE)
def test_who_tells_it_is_where_the_code_does(name: str) -> None:
    constant, _ = CODE[name]

    tellers = set().union(*(by for found, by in used() if found == constant))

    assert ROWS[name].told_by == tellers


def test_values_of_labels_are_those_of_the_code() -> None:
    outcomes = re.split(r": |, ", metrics.EVENTS._documentation.rstrip("."))[2:]

    assert values("status", "tailrace_runs_total") == {status for status in RunStatus if status.is_terminal}
    assert values("reason", "tailrace_spool_refusals_total") == set(Refusal)
    assert values("outcome", "tailrace_schedule_ticks_total") == set(TickOutcome)
    assert values("error_code", "tailrace_dlq_open") == {*metrics._ERROR_CODES, metrics.OTHER}
    assert values("outcome", "tailrace_events_total") == set(outcomes)


def test_every_label_is_explained_or_bounded_by_its_name() -> None:
    explained = {(label, name) for label, of, _ in _VALUES.findall(PAGE) for name in _WORD.findall(of)}
    plain = {"connector", "method", "route", "topic", "type"}

    missing = [
        (label, row.name)
        for row in ROWS.values()
        for label in row.labels
        if label not in plain and (label, row.name) not in explained
    ]

    assert missing == []
