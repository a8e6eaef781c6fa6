"""What can be said of a connector's file before anybody uses it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from pydantic import BaseModel

from tailrace.connector_kit.destination import Destination
from tailrace.connector_kit.manifest.engine import manifest_of
from tailrace.connector_kit.manifest.limits import Cited
from tailrace.connector_kit.manifest.lines import Problem
from tailrace.connector_kit.manifest.loading import WHOLE, Unloadable, load
from tailrace.connector_kit.manifest.model import Manifest
from tailrace.connector_kit.manifest.rehearsal import PROMISES, rehearse

OLD = timedelta(days=365)
"""A citation that nobody looked at for longer should be looked at again."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is wrong with a file, what should be looked at, and the destination that it holds, if it can be loaded."""

    problems: Sequence[Problem]
    advice: Sequence[Problem] = ()
    destination: type[Destination] | None = None


async def judge(path: Path, text: str, *, today: date) -> Judgement:
    """Load a connector's file and try what can be tried without the vendor."""
    try:
        destination = load(path)
    except Unloadable as error:
        return Judgement(error.problems)
    problems = list(_misnamed(path, text, destination))
    manifest = manifest_of(destination)
    if manifest is None:
        advice = Problem(1, WHOLE, "a class is judged by its test: inherit DestinationContract")
        return Judgement(problems, [advice], destination)
    for promise in PROMISES:
        for finding in await rehearse(manifest, promise):
            line = _line(text, rf"Operation\.{finding.operation.upper()}\b")
            problems.append(Problem(line, f"operations.{finding.operation}", f"{finding.promise}: {finding.problem}"))
    return Judgement(problems, list(_advice(text, manifest, today)), destination)


def _misnamed(path: Path, text: str, destination: type[Destination]) -> Iterator[Problem]:
    stem = path.stem.removeprefix("tailrace_")
    if destination.name != stem:
        line = _line(text, r"\bname\s*=")
        yield Problem(line, "name", f"it is {destination.name!r} and the file is {path.name!r}: use one word for both")


def _advice(text: str, manifest: Manifest, today: date) -> Iterator[Problem]:
    if "not" not in manifest.verified_against:
        line = _line(text, r"\bverified_against\s*=")
        yield Problem(line, "verified_against", "say what it was not tried with, such as the real vendor")
    for place, cited in _cited(manifest, ""):
        if today - cited.checked > OLD:
            line = _line(text, re.escape(f"{cited.checked.year}, {cited.checked.month}"))
            yield Problem(line, place, f"nobody looked at {cited.source} since {cited.checked}")


def _cited(value: object, place: str) -> Iterator[tuple[str, Cited]]:
    match value:
        case Cited():
            yield place.strip("."), value
        case BaseModel():
            for name in type(value).model_fields:
                yield from _cited(getattr(value, name), f"{place}.{name}")
        case dict():
            for name, each in value.items():
                yield from _cited(each, f"{place}.{name}")
        case tuple():
            for at, each in enumerate(value):
                yield from _cited(each, f"{place}.{at}")


def _line(text: str, pattern: str) -> int:
    found = re.search(pattern, text)
    return text.count("\n", 0, found.start()) + 1 if found else 1
