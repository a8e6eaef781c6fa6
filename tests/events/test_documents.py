import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tailrace.bus.cloudevents import encode
from tailrace.events.documents import RECEIVED, asyncapi, render, schema
from tailrace.events.models import ALL, Event
from tailrace.events.outgoing import outgoing
from tailrace.events.topics import PARTITIONS, TopicNames
from tests.events.compatibility import Json, breaking_changes

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SPECS = "@asyncapi/specs@6.11.1"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TYPES = [pytest.param(event, id=event.__name__) for event in ALL]


def asyncapi_message(event: type[Event]) -> Any:  # noqa: ANN401 - any JSON
    document: Any = asyncapi()
    return document["components"]["messages"][event.__name__]


@pytest.fixture(scope="session")
def asyncapi_schema(pytestconfig: pytest.Config) -> Json:
    """The schema of AsyncAPI 3.1 out of its npm package, fetched once for a checkout."""
    folder = pytestconfig.cache.mkdir("asyncapi-specs")
    package = next(folder.glob("*.tgz"), None) or fetched(folder)
    if package is None:
        pytest.skip("npm cannot fetch the specification of AsyncAPI")
    with tarfile.open(package) as archive:
        file = archive.extractfile("package/schemas/3.1.0-without-$id.json")
        assert file
        document: Json = json.load(file)
        return document


def fetched(folder: Path) -> Path | None:
    npm = shutil.which("npm")
    if npm is None:
        return None
    command = [npm, "pack", SPECS, "--silent", "--fetch-retries=0", "--fetch-timeout=20000"]
    subprocess.run(command, cwd=folder, capture_output=True, timeout=45, check=False)
    return next(folder.glob("*.tgz"), None)


@pytest.mark.parametrize("path", sorted(render()))
def test_committed_document_is_fresh(path: str) -> None:
    committed = DEPLOY / path

    assert committed.exists(), "run `make generate`"
    assert committed.read_bytes() == render()[path], "run `make generate`"


def test_no_committed_schema_is_left_over() -> None:
    committed = {f"schemas/{path.name}" for path in (DEPLOY / "schemas").glob("tailrace.*")}

    assert committed == {path for path in render() if path.startswith("schemas/")}


@pytest.mark.parametrize("event", TYPES)
def test_event_stays_readable_for_those_who_know_its_committed_schema(event: type[Event]) -> None:
    earlier = earlier_schemas(f"deploy/schemas/{event.type}.json")

    broken = [breaking_changes(known, schema(event), is_received=event in RECEIVED) for known in earlier]

    assert not any(broken), broken


def earlier_schemas(path: str) -> Iterator[Json]:
    """As committed here, as on the branch that a change goes to, and as last released; what there is of these."""
    target = os.environ.get("GITHUB_BASE_REF")
    released = git("describe", "--tags", "--abbrev=0", "--match", "v*").strip()
    for revision in ("HEAD", target and f"origin/{target}", released):
        text = git("show", f"{revision}:{path}") if revision else ""
        if text:
            yield json.loads(text)


def git(*arguments: str) -> str:
    """What git says; empty where there is no git, no repository, or nothing of that name."""
    program = shutil.which("git")
    if program is None:
        return ""
    return subprocess.run([program, "-C", ROOT, *arguments], capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("event", TYPES)
def test_schema_is_sound_and_takes_the_example(event: type[Event]) -> None:
    described = schema(event)
    example = asyncapi_message(event)["examples"][0]["payload"]

    jsonschema.Draft202012Validator.check_schema(described)
    jsonschema.Draft202012Validator(described).validate(example)
    assert event.model_validate(example).model_dump(mode="json") == example


@pytest.mark.parametrize("event", TYPES)
def test_what_we_put_on_a_topic_fits_the_documents(event: type[Event]) -> None:
    example = event.model_validate(asyncapi_message(event)["examples"][0]["payload"])
    document: Any = asyncapi()

    message = encode(outgoing(example, key="k"), TopicNames("acme"), time=NOON)

    jsonschema.Draft202012Validator(schema(event)).validate(json.loads(message.value))
    headers = {name: value.decode() for name, value in message.headers.items()}
    jsonschema.Draft7Validator(document["components"]["messageTraits"]["CloudEvent"]["headers"]).validate(headers)
    address = document["channels"][event.__name__]["address"]
    assert address.format(prefix="acme") == message.topic
    assert message.headers["ce_dataschema"].decode() == schema(event)["$id"]


def test_schema_refuses_an_event_without_its_ids() -> None:
    with pytest.raises(jsonschema.ValidationError, match="sync_id"):
        jsonschema.Draft202012Validator(schema(ALL[0])).validate({"requested_by": "x"})


def test_asyncapi_tells_of_every_event_once() -> None:
    document: Any = asyncapi()

    assert [document["components"]["messages"][name]["name"] for name in document["channels"]] == [
        event.type for event in ALL
    ]
    assert {operation["channel"]["$ref"] for operation in document["operations"].values()} == {
        f"#/channels/{event.__name__}" for event in ALL
    }
    assert [channel["bindings"]["kafka"]["partitions"] for channel in document["channels"].values()] == [
        PARTITIONS[event] for event in ALL
    ]


def test_asyncapi_says_which_events_others_may_send() -> None:
    document: Any = asyncapi()

    received = [name for name, operation in document["operations"].items() if operation["action"] == "receive"]

    assert received == ["receiveRunRequested"]


def test_every_reference_of_asyncapi_leads_somewhere() -> None:
    document: Any = asyncapi()

    references = list(references_in(document))

    assert references
    assert [reference for reference in references if not leads_somewhere(document, reference)] == []


def leads_somewhere(document: Any, reference: str) -> bool:  # noqa: ANN401 - any JSON
    names = reference.removeprefix("#/").split("/")
    return bool(reduce(lambda part, name: part.get(name, {}), names, document))


def references_in(part: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON
    match part:
        case {"$ref": str(reference)}:
            yield reference
        case dict():
            for inner in part.values():
                yield from references_in(inner)
        case list():
            for inner in part:
                yield from references_in(inner)


@pytest.mark.xdist_group("asyncapi")
def test_asyncapi_keeps_the_specification(asyncapi_schema: Json) -> None:
    jsonschema.Draft7Validator(asyncapi_schema).validate(asyncapi())


@pytest.mark.xdist_group("asyncapi")
def test_the_specification_would_refuse_a_wrong_document(asyncapi_schema: Json) -> None:
    document: Any = asyncapi()
    document["operations"]["sendRunQueued"]["action"] = "shout"

    with pytest.raises(jsonschema.ValidationError, match="shout"):
        jsonschema.Draft7Validator(asyncapi_schema).validate(document)
