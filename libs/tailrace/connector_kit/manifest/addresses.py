"""What a manifest, or a user, may write out as an address: nothing by which it leads elsewhere than it seems to."""

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator

_SETTING = r"\{([a-z][a-z0-9_]*)\}"
_PART = r"[A-Za-z0-9._~!$&'()*+,;=:@%/?\[\]-]"
_HOLE = re.compile(_SETTING)
_TEXT = re.compile(rf"(?:[^{{}}\x00-\x1f\x7f]|{_SETTING})*")
_URL = re.compile(rf"(?:https://|{_SETTING})(?:{_PART}|{_SETTING})*")


def filled(text: str, values: Mapping[str, str]) -> str:
    """The text with the settings whose names stand in braces in it.

    :raises KeyError: there is no setting of such a name.
    """
    return _HOLE.sub(lambda hole: values[hole[1]], text)


def settings_in(text: str) -> frozenset[str]:
    """The names of the settings that stand in a text."""
    return frozenset(_HOLE.findall(text))


def _path(holes: str, told: str) -> AfterValidator:
    pattern = re.compile(rf"/(?:{_PART}{holes})*")

    def checked(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"must be a path like {told}, of the characters that addresses have: quote others as %20")
        return text

    return AfterValidator(checked)


def _text(text: str) -> str:
    if not _TEXT.fullmatch(text):
        raise ValueError("must be one line; braces stand around the name of a setting, such as {client_id}")
    return text


def _url(text: str) -> str:
    if not _URL.fullmatch(text):
        raise ValueError("must be https://host/path; settings may stand in it in braces, such as {domain}")
    return text


PlainPath = Annotated[str, _path("", "/v1/me")]
"""A path of an address as it is."""

QuestionPath = Annotated[str, _path(rf"|{_SETTING}", "/v1/{account}/{object}")]
"""A path in which settings may stand, and `{object}` where it is about one."""

ObjectPath = Annotated[str, _path(r"|\{object\}", "/v1/{object}")]
"""A path in which `{object}` may stand."""

JobPath = Annotated[str, _path(r"|\{id\}", "/v1/jobs/{id}")]
"""A path in which `{id}` may stand, that of a job."""

TemplatePath = Annotated[str, _path(r"|\{[^{}]*\}", "/v1/{object}/{key}")]
"""A path in which the holes of templates may stand."""

Url = Annotated[str, AfterValidator(_url)]
"""An address in which settings may stand."""

SettingsText = Annotated[str, AfterValidator(_text)]
"""A text in which settings may stand."""
