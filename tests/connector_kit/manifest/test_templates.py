"""What fills a hole stays in it, whatever it holds; a template that is wrong says where."""

import json
import re
from dataclasses import replace

import pytest

from tailrace.connector_kit.destination import Target
from tailrace.connector_kit.manifest.encoding import Digits, dumped
from tailrace.connector_kit.manifest.rendering import Frame, Rendered, fill, headers_of, path_of
from tailrace.connector_kit.manifest.templates import Template, holes
from tailrace.connector_kit.manifest.writes import Ask
from tailrace.core.rows import Operation
from tests.fixtures.injections import INJECTIONS

FRAME = Frame(Target("people", Operation.UPSERT, ("id",), ("id", "name")), "people", "batch-1")
HOSTILE = (
    '"}],"admin":true,"x":["',
    "\\",
    "\u2028\x00\x1f</script>",
    "$fields",
    "{fields.id}",
    "{{key}}",
    "{{7*7}}",
    "${jndi:ldap://x}",
    "*",
    "\U0001f600é",
)
ELSEWHERE = ("", ".", "..")


def row(**fields: object) -> Rendered:
    return Rendered(fields, fields.get("id"), "trace-1", frozenset({"id"}))


def filled(template: Template, **fields: object) -> object:
    return json.loads(dumped(fill(template, FRAME, row(**fields))))


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_value_stays_in_its_place(value: str) -> None:
    template: Template = {"a": "$fields.name", "b": ["x {fields.name} y"], "$fields.name": 1, "end": "{{}}"}

    made = filled(template, id="1", name=value)

    assert made == {"a": value, "b": [f"x {value} y"], value: 1, "end": "{}"}


def test_injected_templates_of_any_engine_stay_as_they_are() -> None:
    template: Template = {"a": "$fields.name", "b": "x {fields.name} y", "c": "{key}"}

    made = [filled(template, id=text, name=text) for text in INJECTIONS]

    assert made == [{"a": text, "b": f"x {text} y", "c": text} for text in INJECTIONS]


@pytest.mark.parametrize("value", [*HOSTILE, "a/../b", "a?b=c&d#e", "//host", "%2e%2e", " ", "\r\nHost: x"])
def test_hostile_value_stays_in_its_part_of_the_address(value: str) -> None:
    ask = Ask(path="/people/{key}/tags?name={fields.name}")

    path = path_of(ask, FRAME, [row(id=value, name=value)])

    assert path.isascii()
    assert path.isprintable()
    assert [path.count(mark) for mark in "/?=&#"] == [3, 1, 1, 0, 0]
    assert " " not in path


@pytest.mark.parametrize("value", ELSEWHERE)
@pytest.mark.parametrize(
    "path", ["/people/{key}", "/people/{key}/tags", "/{fields.name}?x=1", "/a/{key}{fields.empty}"]
)
def test_value_that_would_lead_elsewhere_is_refused(path: str, value: str) -> None:
    with pytest.raises(ValueError, match="lead elsewhere"):
        path_of(Ask(path=path), FRAME, [row(id=value, name=value, empty="")])


@pytest.mark.parametrize("value", ["a\r\nX-Injected: yes", "a\nb", "\x00", "é", "a ", " a", ""])
def test_value_that_would_break_a_header_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="X-Name takes printable ASCII"):
        headers_of(Ask(path="/", headers={"X-Name": "{fields.name}"}), FRAME, [row(id="1", name=value)])


def test_field_named_like_a_fixed_one_does_not_replace_it() -> None:
    made = filled({"role": "guest", "*": "$fields"}, id="1", role="admin")

    assert made == {"role": "guest", "id": "1"}


@pytest.mark.parametrize(
    ("template", "value", "made"),
    [
        ("$fields.x", Digits("1.50"), 1.5),
        ("$fields.x|text", Digits("1.50"), "1.50"),
        ("$fields.x|number", "12345678901234567890.10", 12345678901234567890.10),
        ("$fields.x|lower|trim", " Ada@X.com ", "ada@x.com"),
        ("$fields.x | upper", "ada", "ADA"),
        ("$fields.x|digits", "+41 (0)44 123", "41044123"),
        ("$fields.x|json", {"a": [1]}, '{"a":[1]}'),
        ("$fields.x|base64", "ü", "w7w="),
        ("$fields.x|sha256", "a", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"),
        ("$fields.x|md5", "a", "0cc175b9c0f1b6a831c399e269772661"),
        ("$fields.x|epoch_s", "1970-01-02T00:00:00+01:00", 82800),
        ("$fields.x|epoch_ms", "1970-01-01T00:00:00.25", 250),
        ("$fields.x|iso", "2026-11-22 09:30:00.25", "2026-11-22T09:30:00.250000+00:00"),
        ("$fields.x|iso", "2026-11-22T09:30:00+01:00", "2026-11-22T09:30:00+01:00"),
        ("$fields.x|iso", "2026-11-22", "2026-11-22T00:00:00+00:00"),
        ("$fields.x|number", None, None),
        ("$fields.missing", 1, None),
        ("of {fields.x}", None, "of "),
        ("$$fields.x", 1, "$fields.x"),
        ("costs $5 or {{5}}", 1, "costs $5 or {5}"),
        ("$operation", 1, "upsert"),
        ("{object}:{key_name}:{batch}:{trace}", 1, "people:id:batch-1:trace-1"),
    ],
)
def test_hole_is_filled_through_its_filters(template: str, value: object, made: object) -> None:
    assert filled(template, id="1", x=value) == made


def test_ulid_is_the_same_for_the_same_row_of_a_batch_and_for_no_other() -> None:
    one = row(id="1")
    frames, rows = [FRAME, FRAME, replace(FRAME, batch_id="batch-2"), FRAME], [one, row(id="2"), one, _second(one)]

    made = [fill("$ulid", frame, each) for frame, each in zip(frames, rows, strict=True)]

    assert made[0] == made[1]
    assert len(set(made)) == 3
    assert all(re.fullmatch("[0-7][0-9A-HJKMNP-TV-Z]{25}", str(each)) for each in made)


def test_setting_is_filled_in_wherever_a_hole_may_stand_and_quoted_in_an_address() -> None:
    frame = replace(FRAME, settings={"account": "a&b", "app": "Web"})
    ask = Ask(path="/people?of={settings.account}", row={"app": "$settings.app|lower"}, rows_at="people")

    body = dumped(fill(ask.row, frame, row(account="of the row")))

    assert path_of(ask, frame, [row()]) == "/people?of=a%26b"
    assert body == b'{"app":"web"}'


def _second(one: Rendered) -> Rendered:
    return replace(one, trace="trace-2")


@pytest.mark.parametrize("name", ["number", "epoch_s", "epoch_ms", "iso"])
@pytest.mark.parametrize("value", ["private-7", "", "NaN", "1e", True])
def test_value_that_a_filter_does_not_take_is_refused_untold(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"^x: the value is not what the filter {name} takes$") as refused:
        filled(f"$fields.x|{name}", x=value)

    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ({"user": {"mail": "$fields.mail|loweer"}}, r"user.mail: there is no filter 'loweer'; there are .*lower"),
        ({"rows": ["a", "$filds"]}, r"rows.1: there is no \$filds; there are .*\$fields"),
        ("$key.part", r"\$key has no parts"),
        ("$settings", r"\$settings is filled with one of them"),
        ("$5 {fields.x", "a brace too many"),
        ("a } b", "a brace too many"),
        ("{7*7}", "no hole"),
        ("$amount due", r"write \$\$ for a dollar sign"),
        ({"{nope}": 1}, r"\{nope\}: there is no \$nope"),
    ],
)
def test_template_that_is_wrong_says_where(template: Template, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        list(holes(template))


@pytest.mark.parametrize("name", ["epoch_s", "epoch_ms", "iso"])
@pytest.mark.parametrize("value", [Digits("1612010112000"), "1612010112000"], ids=["number", "text"])
def test_milliseconds_of_an_epoch_are_not_read_as_a_date_of_1612(name: str, value: object) -> None:
    row = Rendered({"x": value}, "1", "", frozenset())

    with pytest.raises(ValueError, match=name):
        fill(f"$fields.x|{name}", FRAME, row)


def test_settings_are_not_shown_where_a_frame_is_written_out() -> None:
    assert "canary" not in repr(replace(FRAME, settings={"account": "canary"}))
