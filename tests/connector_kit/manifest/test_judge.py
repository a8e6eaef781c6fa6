"""What is said of a connector's file: each mistake with its line."""

from datetime import date
from pathlib import Path

import pytest

from tailrace.connector_kit.manifest.judge import judge
from tailrace.connector_kit.manifest.scaffold import package

TODAY = date(2026, 11, 22)
PATH = "tailrace-my-crm/tailrace_my_crm.py"
TEXT = package("my_crm", today=TODAY)[PATH]
RULE = '    rules=({"status": (429,), "then": "delivered"},),\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "tailrace_my_crm.py"
    path.write_text(text)
    return path


async def test_connector_to_begin_with_has_no_fault(tmp_path: Path) -> None:
    judgement = await judge(written(tmp_path, TEXT), TEXT, today=TODAY)

    assert (judgement.problems, judgement.advice) == ([], [])


@pytest.mark.parametrize(
    ("good", "bad", "line", "told"),
    [
        ('at_most="100 rows"', 'at_most="100"', "            max_rows=", "a number and its unit, such as `100 rows`"),
        ('rate="10/1s"', 'rate="10 a second"', "    buckets=(", "a number and its unit, such as `100/10s`"),
        (
            'status="status"',
            'state="status"',
            "            attribution=",
            "Aligned has no state; it has reason, kind, results, status",
        ),
        ("key=NamedKey(", 'bucket="none", key=NamedKey(', "MANIFEST =", "names a bucket that there is not"),
        ('name="my_crm"', 'name="other"', "    name=", "it is 'other' and the file is 'tailrace_my_crm.py'"),
        ("DOCS = ", "DOCS = (", "DOCS =", "was never closed"),
        ("auth=Bearer()", "auth=Bearer", "    auth=", "discriminator"),
        ("Aligned(results", "Alined(results", "            attribution=", "name 'Alined' is not defined"),
    ],
    ids=["limit", "rate", "unknown part", "bucket", "name", "syntax", "wrong kind", "misspelt"],
)
async def test_mistake_is_told_with_its_line(tmp_path: Path, good: str, bad: str, line: str, told: str) -> None:
    text = TEXT.replace(good, bad, 1)

    judgement = await judge(written(tmp_path, text), text, today=TODAY)

    [problem] = [each for each in judgement.problems if told in each.what]
    assert text.splitlines()[problem.line - 1].startswith(line)


async def test_promise_that_does_not_hold_is_told_with_the_line_of_its_operation(tmp_path: Path) -> None:
    text = TEXT.replace("    throttles=", RULE + "    throttles=")

    judgement = await judge(written(tmp_path, text), text, today=TODAY)

    [problem] = judgement.problems
    assert text.splitlines()[problem.line - 1] == "        Operation.UPSERT: Write("
    assert problem.what.startswith("a throttle is waited for: ")


async def test_citation_that_nobody_looked_at_for_a_year_is_told(tmp_path: Path) -> None:
    judgement = await judge(written(tmp_path, TEXT), TEXT, today=date(2027, 11, 23))

    assert judgement.problems == []
    assert {each.place for each in judgement.advice} >= {"buckets.0", "operations.upsert.max_rows"}
    assert {TEXT.splitlines()[each.line - 1] for each in judgement.advice} == {"CHECKED = date(2026, 11, 22)"}


async def test_class_is_left_to_its_own_test(tmp_path: Path) -> None:
    text = Path(__file__).parents[3].joinpath("libs/tailrace/destinations/http.py").read_text()
    path = tmp_path / "http.py"
    path.write_text(text)

    judgement = await judge(path, text, today=TODAY)

    assert judgement.problems == []
    assert "DestinationContract" in judgement.advice[0].what


async def test_file_without_a_connector_is_told(tmp_path: Path) -> None:
    judgement = await judge(written(tmp_path, "x = 1\n"), "x = 1\n", today=TODAY)

    assert "neither a Manifest nor a subclass of Destination" in judgement.problems[0].what
