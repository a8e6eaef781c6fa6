"""The rules for Prometheus go by metrics, labels and jobs that there are, and fire when they should."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from ruamel.yaml import YAML

from tailrace.observe import metrics
from tests.deploy.manifests import KUBERNETES, load, of_kind, workload
from tests.docs.test_metrics import CODE, PAGE, values

ALERTS = KUBERNETES / "alerts.yaml"
RULES: list[dict[str, Any]] = [rule for group in load(ALERTS)[0]["groups"] for rule in group["rules"]]

_OF_TARGETS = {"job", "instance"}
_CLOSED = ("status", "outcome", "reason", "error_code")
_SHOWN = re.compile(r"\$labels\.(\w+)")

every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])

_FIRST = "_x110 1x10"
_OLD = "1x120"

# By alert: the series among which it fires, and those among which it is silent.
STORIES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    **{
        alert: ({f'up{{job="{job}",instance="a"}}': "0x120"}, {f'up{{job="{job}",instance="a"}}': "1x120"})
        for alert, job in (
            ("TailraceGatewayAbsent", "tailrace-gateway-metrics"),
            ("TailraceSchedulerAbsent", "tailrace-scheduler-metrics"),
            ("TailraceExecutorAbsent", "tailrace-executor-metrics"),
            ("TailraceDlqManagerAbsent", "tailrace-dlq-metrics"),
        )
    },
    "TailraceEventLoopLate": (
        {'tailrace_loop_lag_seconds{instance="a"}': "0.7x120"},
        {'tailrace_loop_lag_seconds{instance="a"}': "0.7 0.01 0.7 0.01 0.7 0.01x115"},
    ),
    "TailraceRunsFail": (
        {'tailrace_runs_total{status="failed"}': "0+1x120", 'tailrace_runs_total{status="succeeded"}': "0+1x120"},
        {'tailrace_runs_total{status="failed"}': "0+1x120", 'tailrace_runs_total{status="succeeded"}': "0+9x120"},
    ),
    "TailraceExecutorsFull": (
        {f'tailrace_runs_active{{job="tailrace-executor-metrics",instance="{each}"}}': "50x120" for each in "ab"},
        {
            'tailrace_runs_active{job="tailrace-executor-metrics",instance="a"}': "50x120",
            'tailrace_runs_active{job="tailrace-executor-metrics",instance="b"}': "49x120",
        },
    ),
    "TailraceRunsWait": (
        {
            'tailrace_runs_queued_oldest_seconds{instance="a"}': "400x120",
            'tailrace_runs_queued_oldest_seconds{instance="b"}': "0x120",
        },
        {'tailrace_runs_queued_oldest_seconds{instance="a"}': "20x120"},
    ),
    "TailraceLeasesLost": (
        {'tailrace_leases_lost_total{instance="a"}': "0+1x120"},
        {'tailrace_leases_lost_total{instance="a"}': "7x120"},
    ),
    "TailraceCheckpointsSlow": (
        {
            'tailrace_checkpoint_duration_seconds_bucket{le="2.5"}': "0+1x120",
            'tailrace_checkpoint_duration_seconds_bucket{le="5.0"}': "0+9x120",
            'tailrace_checkpoint_duration_seconds_bucket{le="+Inf"}': "0+9x120",
        },
        {
            'tailrace_checkpoint_duration_seconds_bucket{le="0.5"}': "0+9x120",
            'tailrace_checkpoint_duration_seconds_bucket{le="+Inf"}': "0+9x120",
        },
    ),
    "TailraceCredentialsRefused": (
        {'tailrace_destination_requests_total{connector="hubspot",code="CREDENTIALS_REFUSED"}': _FIRST},
        {'tailrace_destination_requests_total{connector="hubspot",code="CREDENTIALS_REFUSED"}': _OLD},
    ),
    "TailraceDestinationFails": (
        {
            'tailrace_destination_requests_total{connector="hubspot",code="IN_DOUBT"}': "0+9x120",
            'tailrace_destination_requests_total{connector="hubspot",code="ok"}': "0+1x120",
        },
        {
            'tailrace_destination_requests_total{connector="hubspot",code="RATE_LIMIT"}': "0+9x120",
            'tailrace_destination_requests_total{connector="hubspot",code="ok"}': "0+1x120",
        },
    ),
    "TailraceSpoolRefused": (
        {'tailrace_spool_refusals_total{reason="disk"}': _FIRST},
        {'tailrace_spool_refusals_total{reason="disk"}': _OLD},
    ),
    "TailraceDeadLettersGrow": (
        {'tailrace_dlq_letters_total{error_code="NULL_KEY"}': "0+100x120"},
        {'tailrace_dlq_letters_total{error_code="NULL_KEY"}': "0+10x120"},
    ),
    # Each manager shows all letters: two of them do not make it twice as many.
    "TailraceDeadLettersLie": (
        {f'tailrace_dlq_open{{error_code="OTHER",instance="{each}"}}': "20000x1600" for each in "ab"},
        {f'tailrace_dlq_open{{error_code="OTHER",instance="{each}"}}': "6000x1600" for each in "ab"},
    ),
    "TailraceSchedulesLate": (
        {
            'tailrace_schedule_lag_seconds_bucket{le="10.0"}': "0+1x120",
            'tailrace_schedule_lag_seconds_bucket{le="30.0"}': "0+9x120",
            'tailrace_schedule_lag_seconds_bucket{le="+Inf"}': "0+9x120",
        },
        {
            'tailrace_schedule_lag_seconds_bucket{le="1.0"}': "0+9x120",
            'tailrace_schedule_lag_seconds_bucket{le="+Inf"}': "0+9x120",
        },
    ),
    "TailraceTicksMissed": (
        {'tailrace_schedule_ticks_total{outcome="missed_window"}': _FIRST},
        {'tailrace_schedule_ticks_total{outcome="missed_window"}': _OLD},
    ),
    "TailraceOutboxStands": (
        {
            'tailrace_outbox_oldest_seconds{instance="a"}': "400x120",
            'tailrace_outbox_oldest_seconds{instance="b"}': "0x120",
        },
        {'tailrace_outbox_oldest_seconds{instance="a"}': "10x120"},
    ),
    "TailraceEventsPutAside": (
        {'tailrace_events_total{type="t",outcome="unreadable"}': _FIRST},
        {
            'tailrace_events_total{type="t",outcome="unreadable"}': _OLD,
            'tailrace_events_total{type="t",outcome="handled"}': "0+9x120",
        },
    ),
    "TailraceBusBehind": (
        {f'tailrace_bus_lag{{topic="t",instance="{each}"}}': "6000x120" for each in "ab"},
        {'tailrace_bus_lag{topic="t",instance="a"}': "6000x120"},
    ),
    "TailraceApiFails": (
        {'tailrace_http_requests_total{code="503"}': "0+1x120", 'tailrace_http_requests_total{code="200"}': "0+9x120"},
        {'tailrace_http_requests_total{code="404"}': "0+9x120", 'tailrace_http_requests_total{code="200"}': "0+9x120"},
    ),
    "TailraceApiSlow": (
        {
            'tailrace_http_request_duration_seconds_bucket{le="1.0"}': "0+1x120",
            'tailrace_http_request_duration_seconds_bucket{le="2.5"}': "0+9x120",
            'tailrace_http_request_duration_seconds_bucket{le="+Inf"}': "0+9x120",
        },
        {
            'tailrace_http_request_duration_seconds_bucket{le="0.1"}': "0+9x120",
            'tailrace_http_request_duration_seconds_bucket{le="+Inf"}': "0+9x120",
        },
    ),
}


def parts(expression: promql_parser.Expr) -> Iterator[promql_parser.Expr]:
    """An expression and all that it is made of."""
    yield expression
    for name in ("lhs", "rhs", "expr", "param", "vector_selector"):
        inner = getattr(expression, name, None)
        if isinstance(inner, promql_parser.Expr):
            yield from parts(inner)
    for argument in getattr(expression, "args", ()):
        yield from parts(argument)


def selectors(rule: dict[str, Any]) -> list[promql_parser.VectorSelector]:
    found = [
        each for each in parts(promql_parser.parse(rule["expr"])) if isinstance(each, promql_parser.VectorSelector)
    ]
    assert found
    return found


def grouped(rule: dict[str, Any]) -> set[str]:
    """The labels that its aggregations go by."""
    made = [each for each in parts(promql_parser.parse(rule["expr"])) if isinstance(each, promql_parser.AggregateExpr)]
    return {label for each in made if each.modifier is not None for label in each.modifier.labels}


def family(name: str) -> str:
    """The metric that a series is of, by its name in the code's page."""
    return name if name in CODE else re.sub(r"_(bucket|count|sum)$", "", name)


def labels_of(name: str) -> set[str]:
    if name == "up":
        return set(_OF_TARGETS)
    _, metric = CODE[family(name)]
    return {*metric._labelnames, *_OF_TARGETS, *({"le"} if name.endswith("_bucket") else ())}


def test_every_alert_has_a_name_of_its_own_and_a_story() -> None:
    names = [rule["alert"] for rule in RULES]

    assert len(names) == len(set(names)) > 15
    assert set(STORIES) == set(names)


@every_rule
def test_alert_goes_by_metrics_and_labels_that_there_are(rule: dict[str, Any]) -> None:
    exposed = metrics.exposition().decode()
    used = selectors(rule)

    unknown = [each.name for each in used if each.name != "up" and f"# TYPE {family(str(each.name))} " not in exposed]
    mislabelled = [
        (each.name, matcher.name)
        for each in used
        for matcher in each.matchers.matchers
        if matcher.name not in labels_of(str(each.name))
    ]

    assert unknown == []
    assert mislabelled == []
    assert grouped(rule) <= set().union(*(labels_of(str(each.name)) for each in used))
    assert all(_type_fits(str(each.name)) for each in used)


def _type_fits(name: str) -> bool:
    """A histogram is asked for by its buckets, its count or its sum."""
    return name == "up" or (CODE[family(name)][1]._type == "histogram") == (name not in CODE)


@every_rule
def test_alert_goes_by_values_that_there_are(rule: dict[str, Any]) -> None:
    told = set(re.findall(r"`(\w+)`", PAGE))
    jobs = {service["metadata"]["name"] for service in of_kind("Service")}

    for each in selectors(rule):
        for matcher in each.matchers.matchers:
            wanted = set(matcher.value.split("|"))
            if matcher.name in _CLOSED:
                assert wanted <= values(matcher.name, str(each.name))
            elif matcher.name == "job":
                assert wanted <= jobs
            elif matcher.name == "code" and family(str(each.name)) != "tailrace_http_requests_total":
                assert wanted <= told


@every_rule
def test_alert_says_what_is_so_and_what_to_do(rule: dict[str, Any]) -> None:
    said = rule["annotations"]

    assert said.keys() == {"summary", "action"}
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(_SHOWN.findall(said["summary"])) <= grouped(rule)


def test_executors_are_full_where_the_manifests_say_so() -> None:
    [rule] = [rule for rule in RULES if rule["alert"] == "TailraceExecutorsFull"]
    [most] = [each["value"] for each in workload("executor").container["env"] if each["name"].endswith("MAX_RUNS")]

    assert rule["expr"].endswith(f">= {most}")


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Prometheus' own tool; only where it is."""
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("needs promtool, which comes with Prometheus")
    return subprocess.run([tool, *arguments], capture_output=True, check=False, text=True, timeout=50)


def test_prometheus_takes_the_rules() -> None:
    checked = promtool("check", "rules", str(ALERTS))

    assert checked.returncode == 0, checked.stderr


def test_every_alert_fires_when_it_should_and_is_silent_otherwise(tmp_path: Path) -> None:
    stories = tmp_path / "stories.yaml"
    tests = [
        _story(alert, series, fires=fires)
        for alert, told in STORIES.items()
        for fires, series in zip((True, False), told, strict=True)
    ]
    YAML().dump({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": tests}, stories)

    tested = promtool("test", "rules", str(stories))

    assert tested.returncode == 0, tested.stdout + tested.stderr


def _story(alert: str, series: dict[str, str], *, fires: bool) -> dict[str, Any]:
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": told} for name, told in series.items()],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{alert}", alertstate="firing"}})',
                "eval_time": "26h" if alert == "TailraceDeadLettersLie" else "2h",
                "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
            }
        ],
    }
