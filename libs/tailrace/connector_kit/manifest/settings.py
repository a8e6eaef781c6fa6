"""What a user fills in for a connection: the manifest's own settings, its credentials, and the limits' overrides."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, create_model

from tailrace.connector_kit.manifest.parts import Part

_NAME = r"^[a-z][a-z0-9_]*$"
_IN_HEADER = re.compile(r"[\x21-\x7e]([\x20-\x7e\r\n]*[\x21-\x7e])?\s*")
_PRINTABLE = "printable ASCII without spaces at its ends"
_BASE_URL = re.compile(r"https?://[A-Za-z0-9._~:\[\]-]+(/[A-Za-z0-9._~-]+)*")


class Setting(Part):
    """One thing to fill in; with `choices`, one of their names, which stand for their values.

    What may stand in an address must not change where the address leads: see `pattern`. `example` fits it.
    """

    name: str = Field(pattern=_NAME)
    description: str
    secret: bool = False
    choices: Mapping[str, str] = {}
    default: str | None = None
    pattern: str = r"[A-Za-z0-9._-]{1,200}"
    example: str = "acme"


BaseUrl = Annotated[str, AfterValidator(lambda text: _checked(_BASE_URL, text, "https://host/path"))]
"""What addresses begin with."""


class ConnectionSettings(BaseModel):
    """What every connection by a manifest can set besides."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    base_url: BaseUrl | None = Field(default=None, description="the API's address, if not the vendor's own")
    rows_per_batch: int | None = Field(default=None, ge=1, le=10_000, description="if the account's limit is another")
    bytes_per_batch: int | None = Field(default=None, ge=1024, le=67_108_864, description="the same in bytes")
    rates: Mapping[str, Annotated[str, Field(pattern=r"^[1-9][0-9]*/[1-9][0-9]*(s|min|h|d)$")]] = Field(
        default_factory=dict, description="the account's own rate limits by name, such as 190/10s"
    )


def settings_type(name: str, settings: Sequence[Setting]) -> type[ConnectionSettings]:
    """The model of a manifest's settings."""
    fields: dict[str, Any] = {setting.name: _field(setting) for setting in settings}
    return create_model(f"{name.title().replace('_', '')}Settings", __base__=ConnectionSettings, **fields)


def values_of(given: ConnectionSettings, settings: Sequence[Setting]) -> Mapping[str, str]:
    """The settings as text, choices as what they stand for."""
    values: dict[str, str] = {}
    for setting in settings:
        value = getattr(given, setting.name)
        text = value.get_secret_value() if isinstance(value, SecretStr) else str(value or "")
        values[setting.name] = setting.choices.get(text, text)
    return values


def check_value(setting: Setting, text: str) -> None:
    """Return if the setting may have this value.

    :raises ValueError: it may not; the value is not told.
    """
    if setting.choices and text not in setting.choices:
        raise ValueError(f"{setting.name}: must be one of {', '.join(setting.choices)}")
    pattern = _IN_HEADER if setting.secret else re.compile(setting.pattern)
    if text and not setting.choices and not pattern.fullmatch(text):
        raise ValueError(f"{setting.name}: must be {_PRINTABLE if setting.secret else f'like {setting.pattern}'}")


def _field(setting: Setting) -> tuple[Any, Any]:
    about = Field(default=... if setting.default is None else setting.default, description=setting.description)
    if setting.choices:
        return Literal[tuple(setting.choices)], about
    if setting.secret:
        return Annotated[SecretStr, AfterValidator(_secret)], about
    form, pattern = f"like {setting.pattern}", re.compile(setting.pattern)
    return Annotated[str, AfterValidator(lambda text: _checked(pattern, text, form))], about


def _secret(secret: SecretStr) -> SecretStr:
    _checked(_IN_HEADER, secret.get_secret_value(), _PRINTABLE)
    return secret


def _checked(pattern: "re.Pattern[str]", text: str, form: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(f"must be {form}")
    return text
