"""What outside services need to know of the events: a JSON Schema for each type, and one AsyncAPI document."""

from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias

import orjson

from tailrace.core.json_schemas import Plain
from tailrace.core.runs import RunStatus
from tailrace.events.models import ALL, BatchCompleted, Event, RowFailed, RunFinished, RunQueued, RunRequested
from tailrace.events.topics import DEFAULT_PREFIX, PARTITIONS, RETENTION_MS, schema_id

Json: TypeAlias = dict[str, object]

RECEIVED: Final = frozenset({RunRequested})
"""What others may send; of the rest only Tailrace is the sender."""

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_VERSION = "1.0.0"
_KAFKA_BINDING = "0.5.0"
_ABOUT = (
    "Events of the reverse ETL platform Tailrace, as CloudEvents 1.0 in the binary mode of the Kafka binding. They"
    " come at least once: source and id tell a repeat. Events of one key keep their order. Fields are added within a"
    " version, so ignore what you do not know; rows never travel in events."
)
_ABOUT_REQUESTS = (
    ' Send it in binary or structured mode, or as bare JSON such as `{"syncId": "..."}`, which may name itself by'
    " `eventId`. What cannot be read goes to the topic `<topic>.dlq` with its reason in `__connect.errors.*` headers."
)
_KEYS: Final[dict[type[Event], str]] = {
    RunRequested: "The id of the sync, so that its requests keep their order.",
    RunQueued: "The id of the sync.",
    BatchCompleted: "The id of the run.",
    RowFailed: "The id of the sync.",
    RunFinished: "The id of the run.",
}
_RUN = "retl_run_0c9j2m4q8t1v5x7z0b3d6f9h2k"
_SYNC = "retl_sync_0c9j2m4q8t1v5x7z0b3d6f9h2k"
_WORKSPACE = "ws_0c9j2m4q8t1v5x7z0b3d6f9h2k"
_EXAMPLES: Final[tuple[Event, ...]] = (
    RunRequested(sync_id=_SYNC, full_refresh=False, requested_by="airflow"),
    RunQueued(run_id=_RUN, sync_id=_SYNC, workspace_id=_WORKSPACE),
    BatchCompleted(
        run_id=_RUN, sync_id=_SYNC, workspace_id=_WORKSPACE, shard=0, epoch=1, seq=3,
        read=500, delivered=480, skipped=13, rejected=7,
    ),
    RowFailed(
        run_id=_RUN, sync_id=_SYNC, workspace_id=_WORKSPACE,
        dead_letter_ids=["retl_dlq_0c9j2m4q8t1v5x7z0b3d6f9h2k"], by_error_code={"DESTINATION_VALIDATION": 1},
    ),
    RunFinished(
        run_id=_RUN, sync_id=_SYNC, workspace_id=_WORKSPACE, status=RunStatus.SUCCEEDED,
        read=500, delivered=480, skipped=13, rejected=7, finished_at=datetime(2026, 1, 1, 12, tzinfo=UTC),
    ),
)  # fmt: skip


def render() -> dict[str, bytes]:
    """Every document by its path under `deploy/`."""
    schemas = {f"schemas/{event.type}.json": _text(schema(event)) for event in ALL}
    return {"asyncapi.json": _text(asyncapi()), **schemas}


def schema(event: type[Event]) -> Json:
    """The JSON Schema of an event's data: as it may be sent to us, or as we always send it."""
    mode: Literal["validation", "serialization"] = "validation" if event in RECEIVED else "serialization"
    described = event.model_json_schema(mode=mode, schema_generator=Plain)
    return {"$schema": _DIALECT, "$id": schema_id(event.type), **described}


def asyncapi() -> Json:
    """The AsyncAPI document of all events."""
    return {
        "asyncapi": "3.1.0",
        "id": "urn:tailrace:events",
        "info": {"title": "Tailrace events", "version": _VERSION, "description": _ABOUT},
        "defaultContentType": "application/json",
        "servers": {"kafka": _server()},
        "channels": {event.__name__: _channel(event) for event in ALL},
        "operations": {_operation_name(event): _operation(event) for event in ALL},
        "components": {
            "messages": {event.__name__: _message(event) for event in ALL},
            "schemas": {event.__name__: _bare(schema(event)) for event in ALL},
            "messageTraits": {"CloudEvent": {"contentType": "application/json", "headers": _headers()}},
            "parameters": {
                "prefix": {"default": DEFAULT_PREFIX, "description": "TAILRACE_TOPIC_PREFIX of the installation."}
            },
        },
    }


def _server() -> Json:
    bootstrap = {"default": "localhost:9092", "description": "A Kafka broker of the installation."}
    return {"host": "{bootstrap}", "protocol": "kafka", "variables": {"bootstrap": bootstrap}}


def _channel(event: type[Event]) -> Json:
    return {
        "address": "{prefix}" + event.type.removeprefix(DEFAULT_PREFIX),
        "messages": {event.__name__: _reference("messages", event.__name__)},
        "parameters": {"prefix": _reference("parameters", "prefix")},
        "bindings": {
            "kafka": {
                "partitions": PARTITIONS[event],
                "topicConfiguration": {"cleanup.policy": ["delete"], "retention.ms": RETENTION_MS},
                "bindingVersion": _KAFKA_BINDING,
            }
        },
    }


def _operation_name(event: type[Event]) -> str:
    return ("receive" if event in RECEIVED else "send") + event.__name__


def _operation(event: type[Event]) -> Json:
    channel = f"#/channels/{event.__name__}"
    return {
        "action": "receive" if event in RECEIVED else "send",
        "channel": {"$ref": channel},
        "summary": _summary(event),
        "messages": [{"$ref": f"{channel}/messages/{event.__name__}"}],
    }


def _message(event: type[Event]) -> Json:
    example = next(example for example in _EXAMPLES if type(example) is event)
    return {
        "name": event.type,
        "title": event.__name__,
        "summary": _summary(event),
        "description": (event.__doc__ or "") + (_ABOUT_REQUESTS if event in RECEIVED else ""),
        "traits": [_reference("messageTraits", "CloudEvent")],
        "payload": _reference("schemas", event.__name__),
        "bindings": {
            "kafka": {"key": {"type": "string", "description": _KEYS[event]}, "bindingVersion": _KAFKA_BINDING}
        },
        "examples": [{"name": "one", "payload": example.model_dump(mode="json")}],
    }


def _headers() -> Json:
    told = {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_id": {"type": "string", "minLength": 1, "maxLength": 512, "description": "Unique within its source."},
        "ce_source": {"type": "string", "minLength": 1, "maxLength": 512, "description": "Who sent it."},
        "ce_type": {"type": "string", "description": "The event's type; its topic has the prefix instead."},
        "ce_time": {"type": "string", "format": "date-time", "description": "When it became true."},
        "ce_subject": {"type": "string", "description": "The key."},
        "ce_dataschema": {"type": "string", "format": "uri", "description": "The $id of the JSON Schema."},
        "content-type": {"type": "string", "description": "application/json."},
        "traceparent": {"type": "string", "description": "W3C trace context, where the work is traced."},
    }
    return {"type": "object", "required": ["ce_specversion", "ce_id", "ce_source", "ce_type"], "properties": told}


def _summary(event: type[Event]) -> str:
    return (event.__doc__ or "").partition(".")[0] + "."


def _bare(described: Json) -> Json:
    """Without the words that only a document of its own has."""
    return {word: said for word, said in described.items() if not word.startswith("$")}


def _reference(kind: str, name: str) -> Json:
    return {"$ref": f"#/components/{kind}/{name}"}


def _text(document: Json) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
