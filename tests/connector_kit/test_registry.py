from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
from pydantic import BaseModel, SecretStr

from tailrace.connector_kit.destination import Level
from tailrace.connector_kit.registry import (
    catalogue,
    destination_type,
    names,
    secret_fields,
    validate_settings,
    warehouse_type,
)
from tailrace.core.errors import Invalid

Install = Callable[[str, str, str], None]

DESTINATION = """
    from tailrace.destinations.http import HttpDestination

    class Theirs(HttpDestination):
        name = "{name}"
        label = "Theirs"
"""


UNDESCRIBED = """
    from collections.abc import Callable

    from pydantic import BaseModel

    from tailrace.destinations.http import HttpDestination

    class Settings(BaseModel):
        sign: Callable[[bytes], bytes]

    class Theirs(HttpDestination):
        name = "undescribed"
        settings_type = Settings
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a package of somebody else on the path: its name, its entry point, its only module."""

    def put(package: str, entry_point: str, code: str) -> None:
        metadata = tmp_path / f"{package}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[tailrace.destinations]\n{entry_point}\n")
        (tmp_path / f"{package}.py").write_text(dedent(code))

    monkeypatch.syspath_prepend(str(tmp_path))
    return put


def test_built_in_connectors_are_found_without_a_list() -> None:
    assert {"http", "postgres"} <= set(names("destination"))
    assert "postgres" in names("warehouse")
    assert destination_type("http").name == "http"
    assert warehouse_type("postgres").name == "postgres"


@pytest.mark.parametrize("name", ["", "nope", "__init__", "http.HttpDestination", "../postgres", "os"])
def test_unknown_name_is_answered_with_the_known_ones(name: str) -> None:
    with pytest.raises(Invalid, match=r"there is no destination .*; there are .*http.*postgres"):
        destination_type(name)
    with pytest.raises(Invalid, match=r"there is no warehouse .*; there are .*postgres"):
        warehouse_type(name)


@pytest.mark.parametrize("target", ["theirs_a:Theirs", "theirs_a"])
def test_connector_of_somebody_else_is_found_by_its_entry_point(install: Install, target: str) -> None:
    install("theirs_a", f"theirs = {target}", DESTINATION.format(name="theirs"))

    assert destination_type("theirs").label == "Theirs"
    assert "theirs" in [entry.name for entry in catalogue()]


@pytest.mark.parametrize(
    ("package", "entry_point", "code", "told_about"),
    [
        ("broken_a", "broken = broken_a:Theirs", "import nothing_of_that_name", "nothing_of_that_name"),
        ("broken_b", "broken = broken_b:Missing", DESTINATION.format(name="broken"), "Missing"),
        ("broken_c", "broken = broken_c:Theirs", DESTINATION.format(name="other"), "no Destination with the name"),
        ("broken_d", "broken = broken_d:Theirs", "class Theirs: name = 'broken'", "no Destination with the name"),
        ("broken_e", "broken = broken_e", "this is no Python", "broken_e"),
        ("broken_f", "broken = tailrace.of_no_name", "", "No module named 'tailrace.of_no_name'"),
        ("broken_g", "broken = broken_g", "limit = nothing_of_that_name", "NameError: .*nothing_of_that_name"),
        ("broken_h", "broken = broken_h", "raise RuntimeError('set ACME_HOME')", "RuntimeError: set ACME_HOME"),
    ],
)
def test_broken_connector_breaks_nobody_else(
    install: Install, package: str, entry_point: str, code: str, told_about: str
) -> None:
    install(package, entry_point, code)

    found = [entry.name for entry in catalogue()]

    assert {"http", "postgres"} <= set(found)
    assert "broken" not in found
    with pytest.raises(Invalid, match=f"{package}.*{told_about}|{told_about}"):
        destination_type("broken")


def test_connector_that_cannot_be_described_breaks_nobody_else(install: Install) -> None:
    install("undescribed", "undescribed = undescribed", UNDESCRIBED)

    found = [entry.name for entry in catalogue()]

    assert {"http", "postgres"} <= set(found)
    assert "undescribed" not in found


def test_name_that_is_offered_twice_is_nobody_s(install: Install) -> None:
    install("theirs_b", "http = theirs_b:Theirs", DESTINATION.format(name="http"))

    with pytest.raises(Invalid, match=r"several times.*tailrace.destinations.http.*theirs_b"):
        destination_type("http")


def test_catalogue_says_what_a_form_needs() -> None:
    entries = {(entry.kind, entry.name): entry for entry in catalogue()}

    http = entries["destination", "http"]
    postgres = entries["warehouse", "postgres"]
    assert (http.label, http.level) == ("HTTP", Level.BRONZE)
    assert "url" in http.settings_schema["properties"]
    assert (postgres.level, postgres.verified_against[:4]) == (Level.GOLD, "real")
    assert postgres.secret_fields == {"password", "url"}


class _Nested(BaseModel):
    plain: str = ""
    hidden: SecretStr
    maybe: SecretStr | None = None
    several: tuple[SecretStr, ...] = ()
    by_name: dict[str, SecretStr | None] = {}
    names: dict[str, str] = {}


def test_secret_is_found_wherever_it_stands_in_a_field() -> None:
    assert secret_fields(_Nested) == {"hidden", "maybe", "several", "by_name"}


def test_settings_that_fit_become_the_connector_s_own() -> None:
    settings = validate_settings(_Nested, {"hidden": "canary"})

    assert settings.hidden.get_secret_value() == "canary"


def test_every_field_that_does_not_fit_is_named_and_no_value_told() -> None:
    with pytest.raises(Invalid) as refused:
        validate_settings(_Nested, {"plain": ["canary"], "by_name": {"a": ["canary"]}})

    assert refused.value.message.startswith("plain: ")
    assert "hidden: Field required" in refused.value.message
    assert "by_name.a: " in refused.value.message
    assert "canary" not in refused.value.message
    assert refused.value.__context__ is None


def test_what_is_installed_is_looked_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    destination_type("http")
    asked: list[object] = []

    def distributions(**named: object) -> tuple[()]:
        asked.append(named)
        return ()

    monkeypatch.setattr("importlib.metadata.distributions", distributions)

    destination_type("http")

    assert asked == []
