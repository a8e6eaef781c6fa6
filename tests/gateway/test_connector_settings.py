"""Settings parted from their secrets, whatever form a connector gives them."""

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, SecretStr, field_validator

from tailrace.store.connections import ConnectionKind
from tailrace_gateway.connector_settings import part, secrets_in, settings_type_of
from tailrace_gateway.problems import Unprocessable


class Basic(BaseModel):
    """One way to log in."""

    type: Literal["basic"]
    user: str
    word: SecretStr


class Open(BaseModel):
    """A way in which the same name holds no secret."""

    type: Literal["open"]
    word: str


class SomeSettings(BaseModel):
    """Settings with a secret of every form."""

    plain: str = "default"
    auth: Annotated[Basic | Open, Field(discriminator="type")] | None = None
    keys: tuple[SecretStr, ...] = ()
    headers: dict[str, SecretStr] = Field(default_factory=dict)

    @field_validator("plain")
    @classmethod
    def _is_good(cls, value: str) -> str:
        if value.startswith("bad"):
            raise ValueError(f"{value} is bad")
        return value


GIVEN: dict[str, Any] = {
    "auth": {"type": "basic", "user": "u", "word": "one"},
    "keys": ["two", "three"],
    "headers": {"a/b": "four"},
}
SHOWN: dict[str, Any] = {
    "auth": {"type": "basic", "user": "u", "word": "***"},
    "keys": ["***", "***"],
    "headers": {"a/b": "***"},
}
SECRETS = {"/auth/word": "one", "/keys/0": "two", "/keys/1": "three", "/headers/a~1b": "four"}


def test_secrets_of_every_form_are_parted() -> None:
    parted = part(SomeSettings, GIVEN, {})

    assert (parted.shown, parted.secrets, parted.kept) == (SHOWN, SECRETS, ())


def test_defaults_are_not_written_down() -> None:
    assert part(SomeSettings, {}, {}).shown == {}


def test_what_is_shown_given_back_keeps_every_secret() -> None:
    parted = part(SomeSettings, SHOWN, SECRETS)

    assert (parted.shown, parted.secrets, parted.kept) == (SHOWN, {}, tuple(sorted(SECRETS)))


def test_stored_secrets_are_found_by_their_places() -> None:
    assert secrets_in(SHOWN, GIVEN) == SECRETS


def test_secret_never_becomes_a_value_that_is_shown() -> None:
    given = {"auth": {"type": "open", "word": "***"}}

    with pytest.raises(Unprocessable) as refused:
        part(SomeSettings, given, SECRETS)

    assert [fault.place for fault in refused.value.faults] == ["/settings/auth/word"]


def test_message_that_repeats_a_value_is_replaced() -> None:
    with pytest.raises(Unprocessable) as refused:
        part(SomeSettings, {"plain": "bad canary"}, {})

    assert [(fault.place, fault.detail) for fault in refused.value.faults] == [
        ("/settings/plain", "cannot work with the value given")
    ]


def test_message_that_repeats_a_word_of_the_schema_is_told() -> None:
    settings_type = settings_type_of(ConnectionKind.DESTINATION, "webhook")

    given = {"base_url": "https://api.example.com", "operations": {"upsert": {"path": "/"}}, "auth": {"kind": "bearer"}}

    with pytest.raises(Unprocessable, match="auth 'bearer' asks for token"):
        part(settings_type, given, {})


def test_connector_that_is_installed_and_cannot_be_loaded_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = tmp_path / "half_there-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: half-there\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[tailrace.destinations]\nhalf_there = half_there\n")
    (tmp_path / "half_there.py").write_text("import nothing_of_that_name")
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(Unprocessable) as refused:
        settings_type_of(ConnectionKind.DESTINATION, "half_there")

    told = "half_there of half-there cannot be loaded: ModuleNotFoundError: No module named 'nothing_of_that_name'"
    assert refused.value.message == f"/connector: {told}"
