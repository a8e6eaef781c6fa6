import json
import subprocess
import sys

import pytest

from tailrace.observe.logs import MASK, mask_secrets, masked_text

SCRIPT = """
import logging, structlog
from structlog.contextvars import bound_contextvars
from tailrace.observe.logs import configure_logs
configure_logs(level="{level}", form="{form}", bound={{"service": "gateway", "pod": "gateway-0"}})
log = structlog.get_logger("tailrace.tests")
{body}
"""


def run(body: str, *, level: str = "info", form: str = "json") -> subprocess.CompletedProcess[str]:
    script = SCRIPT.format(level=level, form=form, body=body)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=True)


def test_event_is_one_json_object_on_stderr_with_what_was_bound() -> None:
    ended = run("with bound_contextvars(run_id='retl_run_1'):\n    log.info('run.finished', rows=3)")

    assert ended.stdout == ""
    line = json.loads(ended.stderr)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "run.finished",
        "level": "info",
        "logger": "tailrace.tests",
        "service": "gateway",
        "pod": "gateway-0",
        "run_id": "retl_run_1",
        "rows": 3,
    }


def test_event_of_traced_work_names_its_trace() -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"

    ended = run(
        "from tailrace.observe.tracing import traced\n"
        f"with traced('00-{trace}-00f067aa0ba902b7-01'):\n    log.info('run.started')"
    )

    assert json.loads(ended.stderr)["trace_id"] == trace


def test_standard_library_comes_out_in_the_same_form() -> None:
    ended = run("logging.getLogger('somebody').warning('reached %s', 'postgresql://u:hunter2@db/x')")

    line = json.loads(ended.stderr)
    assert line["event"] == f"reached postgresql://{MASK}@db/x"
    assert (line["level"], line["logger"], line["service"]) == ("warning", "somebody", "gateway")


def test_traceback_is_told_without_credentials() -> None:
    ended = run(
        "try:\n    raise OSError('no route to postgresql://u:hunter2@db/x')\n"
        "except OSError:\n    log.exception('store.lost')"
    )

    line = json.loads(ended.stderr)
    assert "hunter2" not in ended.stderr
    assert "OSError: no route" in line["exception"]


def test_level_below_the_least_is_silent() -> None:
    ended = run("log.info('row.read'); logging.getLogger('x').info('y')", level="warning")

    assert ended.stderr == ""


def test_console_form_is_for_people() -> None:
    ended = run("log.info('run.finished', rows=3)", form="console")

    assert "run.finished" in ended.stderr
    assert not ended.stderr.startswith("{")


@pytest.mark.parametrize(
    "name",
    ["password", "db_password", "passwd", "secret_key", "token", "lease_token", "Authorization", "api_key", "apikey",
     "private_key", "database_url", "dsn", "set_cookie", "pepper"],
)  # fmt: skip
def test_value_under_a_secret_name_is_masked_at_any_depth(name: str) -> None:
    event = mask_secrets(None, "info", {"event": "x", "outer": [{name: "hunter2"}], name: "hunter2"})

    assert event == {"event": "x", "outer": [{name: MASK}], name: MASK}


@pytest.mark.parametrize("name", ["record_keys", "key_columns", "rows", "passed", "monkey"])
def test_value_under_another_name_is_told(name: str) -> None:
    assert mask_secrets(None, "info", {name: "id"}) == {name: "id"}


def test_row_values_that_postgresql_quotes_are_masked() -> None:
    text = 'duplicate key value violates "contacts_pkey"\nDETAIL:  Key (email)=(ada@example.com) already exists.'

    assert "ada" not in masked_text(text)
    assert masked_text(text).startswith("duplicate key value")


def test_api_token_in_a_text_is_masked() -> None:
    assert masked_text("Bearer trc_AbCd1234_0123456789abcdef said no") == f"Bearer {MASK} said no"
