"""A new connector to begin with: a manifest that works against its stand-in, and its test."""

from collections.abc import Mapping
from datetime import date
from string import Template

_MANIFEST = Template('''\
"""$label: what it takes, and what a user should know. Not verified against $label."""

from datetime import date

from tailrace.connector_kit.destination import Level
from tailrace.connector_kit.manifest.attribution import Aligned
from tailrace.connector_kit.manifest.auth import Bearer
from tailrace.connector_kit.manifest.limits import Bucket, RowLimit, SizeLimit
from tailrace.connector_kit.manifest.model import KnownObject, Manifest, Objects
from tailrace.connector_kit.manifest.templates import Slot
from tailrace.connector_kit.manifest.throttles import RetryAfter, SaysNothing
from tailrace.connector_kit.manifest.writes import NamedKey, Write
from tailrace.core.rows import Operation

CHECKED = date($year, $month, $day)
DOCS = "https://api.example.com/docs"

MANIFEST = Manifest(
    name="$name",
    label="$label",
    level=Level.BRONZE,
    verified_against="nothing but its own samples; not against the real $label",
    docs=DOCS,
    checked=CHECKED,
    base_url="https://api.example.com",
    auth=Bearer(),
    buckets=(Bucket(name="requests", rate="10/1s", source=DOCS, checked=CHECKED),),
    throttles=(RetryAfter(), SaysNothing()),
    check="/v1/me",
    objects=Objects(known=(KnownObject(name="contacts", label="Contacts"),)),
    operations={
        Operation.UPSERT: Write(
            path="/v1/{object}/batch",
            rows_at="rows",
            row={"key": Slot.KEY, "fields": Slot.FIELDS},
            key=NamedKey(fields=("id",)),
            max_rows=RowLimit(at_most="100 rows", source=DOCS, checked=CHECKED),
            max_size=SizeLimit(at_most="1 MB", source=DOCS, checked=CHECKED),
            is_idempotent=True,
            attribution=Aligned(results="results", status="status", ok=("ok",)),
        ),
    },
)
''')
_TEST = Template('''\
"""The answers are made after $label's documentation."""

from typing import ClassVar

from tailrace.core.rows import Operation
${inside}from tailrace.testing.fake_http import answer
from tailrace.testing.manifest_contract import ManifestContract
from tailrace.testing.samples import Sample
${outside}
SETTINGS = {"token": "made-up"}
ROWS = ({"id": "1", "name": "Ada"}, {"id": "2", "name": "Bob"})
ASKS = {"rows": [{"key": "1", "fields": ROWS[0]}, {"key": "2", "fields": ROWS[1]}]}
RESULTS = [{"status": "ok"}, {"status": "error", "code": "BAD_NAME", "message": "no"}]


class Test$class_name(ManifestContract):
    manifest = MANIFEST
    samples: ClassVar = (
        Sample(
            about=Operation.UPSERT,
            object_name="contacts",
            rows=ROWS,
            answers=[answer(200, {"results": RESULTS})],
            means=["delivered", "rejected:BAD_NAME"],
            asks=("POST", "https://api.example.com/v1/contacts/batch", ASKS),
            shows={"Authorization": "Bearer made-up"},
            settings=SETTINGS,
        ),
        Sample(
            about=Operation.UPSERT,
            object_name="contacts",
            rows=ROWS,
            answers=[answer(429, {}, {"retry-after": "7"})],
            means="RATE_LIMIT:7",
            settings=SETTINGS,
        ),
        Sample(
            about="check",
            answers=[answer(200)],
            means=[],
            asks=("GET", "https://api.example.com/v1/me", None),
            settings=SETTINGS,
        ),
        Sample(about="objects", answers=[answer(200)], means=["contacts"], settings=SETTINGS),
        Sample(
            about=Operation.UPSERT,
            object_name="contacts",
            rows=ROWS,
            key="name",
            answers=[answer(200)],
            means="DESTINATION_INVALID",
            settings=SETTINGS,
        ),
    )
    # The last throttle only says that nothing else is known.
    unseen: ClassVar = ("throttles.1",)
''')
_PROJECT = Template("""\
[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[project]
name = "tailrace-$dashed"
version = "0.1.0"
description = "$label as a destination of Tailrace."
requires-python = ">=3.11"
dependencies = ["tailrace"]

[project.entry-points."tailrace.destinations"]
$name = "$module:MANIFEST"

[tool.hatch.build.targets.wheel]
only-include = ["$module.py"]

[tool.pytest]
asyncio_mode = "auto"
""")


def built_in(name: str, *, today: date) -> Mapping[str, str]:
    """The two files of a connector that comes with Tailrace, by path."""
    words = _words(name, f"tailrace.destinations.{name}", today)
    return {
        f"libs/tailrace/destinations/{name}.py": _MANIFEST.substitute(words),
        f"tests/destinations/test_{name}_destination.py": _TEST.substitute(words),
    }


def package(name: str, *, today: date) -> Mapping[str, str]:
    """The files of a package of one's own with a connector, by path."""
    words = _words(name, f"tailrace_{name}", today)
    folder = f"tailrace-{words['dashed']}"
    return {
        f"{folder}/pyproject.toml": _PROJECT.substitute(words),
        f"{folder}/tailrace_{name}.py": _MANIFEST.substitute(words),
        f"{folder}/test_{name}.py": _TEST.substitute(words),
    }


def _words(name: str, module: str, today: date) -> dict[str, str]:
    label = name.replace("_", " ").title()
    line, is_inside = f"from {module} import MANIFEST\n", module.startswith("tailrace.")
    return {
        "inside": line if is_inside else "",
        "outside": "" if is_inside else "\n" + line,
        "name": name,
        "label": label,
        "class_name": label.replace(" ", ""),
        "dashed": name.replace("_", "-"),
        "module": module,
        "year": str(today.year),
        "month": str(today.month),
        "day": str(today.day),
    }
