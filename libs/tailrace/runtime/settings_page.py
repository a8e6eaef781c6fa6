"""The settings as a page for people, made from the settings themselves."""

from collections.abc import Mapping

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tailrace.runtime.settings import PREFIX, SECRETS_DIR, Settings

PATH = "docs/settings.md"

_HEAD = f"""# Settings

Environment variables, or files in the folder that `{SECRETS_DIR}` names (a file `{PREFIX.lower()}secret_key` for
`{PREFIX}SECRET_KEY`). The environment wins. A name that begins with `{PREFIX}` and is not listed here is refused, of a
file too, as is a set of times that would let two executors work on one run. An empty variable counts as not set.

| variable | default | what it is |
|---|---|---|
"""


def settings_page() -> Mapping[str, bytes]:
    """The page by its path under `deploy/`."""
    rows = [_row(name, field) for name, field in Settings.model_fields.items()]
    return {PATH: (_HEAD + "".join(rows)).encode()}


def _row(name: str, field: FieldInfo) -> str:
    return f"| `{PREFIX}{name.upper()}` | {_default(field)} | {field.description} |\n"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default is PydanticUndefined:
        return "host name and process id"
    if field.default is None:
        return "none"
    return f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"
