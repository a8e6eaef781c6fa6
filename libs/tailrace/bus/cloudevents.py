"""CloudEvents 1.0 over Kafka: binary mode on the way out; binary, structured and bare JSON on the way in."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Annotated, Final, Literal, TypeVar

import orjson
from pydantic import BaseModel, Field, ValidationError

from tailrace.bus.base import Message, Received
from tailrace.core.errors import Invalid
from tailrace.core.outgoing import OutgoingEvent
from tailrace.events.models import Event
from tailrace.events.topics import TopicNames, schema_id
from tailrace.observe.tracing import TRACEPARENT, readable_traceparent

SPEC_VERSION: Final = "1.0"
CONTENT_TYPE: Final = "content-type"
JSON_TYPE: Final = "application/json"
STRUCTURED_TYPE: Final = "application/cloudevents"

_EVENT_ID_KEYS = ("event_id", "eventId")
_REQUIRED = {"specversion", "id", "source", "type"}
_ID_BYTES = 16
_PROBLEMS = 5
_Model = TypeVar("_Model", bound=BaseModel)
# CloudEvents forbids control characters; an index of the inbox bounds the length.
_Name = Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Unreadable(Invalid):
    """What stands on the topic is no event of that topic; the message never holds its content."""

    code = "EVENT_UNREADABLE"


@dataclass(frozen=True, slots=True)
class Incoming:
    """An event as it was read; (source, event_id) tells a repeat from a new one."""

    event: Event
    event_id: str
    source: str
    topic: str
    traceparent: str | None


class _Attributes(BaseModel):
    specversion: Literal["1.0"]
    id: _Name
    source: _Name
    type: _Name
    datacontenttype: str = JSON_TYPE


def encode(event: OutgoingEvent, names: TopicNames, *, time: datetime, traceparent: str | None = None) -> Message:
    """The event as a binary-mode message of its topic; the same event always gives the same id and source."""
    headers = {
        "ce_specversion": SPEC_VERSION,
        "ce_id": event.event_id,
        "ce_source": names.source,
        "ce_type": event.type,
        "ce_time": time.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "ce_subject": event.key,
        "ce_dataschema": schema_id(event.type),
        CONTENT_TYPE: JSON_TYPE,
    }
    if traceparent is not None:
        headers[TRACEPARENT] = traceparent
    return Message(names.of(event.type), event.key, event.data, {name: text.encode() for name, text in headers.items()})


def decode(received: Received, model: type[Event]) -> Incoming:
    """The event of that model, in whichever of the three forms it came.

    Bare JSON may name itself by `event_id`; otherwise its place on the topic is its id.

    :raises Unreadable: it is none; says what is wrong with it.
    """
    headers = _texts(received.headers)
    body = _parsed(received.value)
    if headers.get(CONTENT_TYPE, "").startswith(STRUCTURED_TYPE) or _names_itself(body):
        attributes, data = _structured(body)
        traceparent = headers.get(TRACEPARENT) or _text(body.get(TRACEPARENT))
    else:
        attributes = _binary(headers) if "ce_specversion" in headers else _bare(received, body, model)
        data, traceparent = body, headers.get(TRACEPARENT)
    _refuse_another(attributes, received.topic, model)
    event = _validated(model, data)
    return Incoming(event, attributes.id, attributes.source, received.topic, readable_traceparent(traceparent))


def _texts(headers: Mapping[str, bytes]) -> dict[str, str]:
    try:
        return {name.lower(): value.decode() for name, value in headers.items()}
    except UnicodeDecodeError as error:
        raise Unreadable("a header is not UTF-8") from error


def _parsed(value: bytes | None) -> dict[str, object]:
    try:
        body = orjson.loads(value or b"")
    except orjson.JSONDecodeError as error:
        raise Unreadable("the value is not JSON") from error
    if not isinstance(body, dict):
        raise Unreadable("the value is not a JSON object")
    return body


def _names_itself(body: Mapping[str, object]) -> bool:
    """A structured event that came without its content type, as by hand."""
    return body.keys() >= _REQUIRED


def _structured(body: Mapping[str, object]) -> tuple[_Attributes, object]:
    attributes = _validated(_Attributes, body)
    encoded = body.get("data_base64")
    if encoded is None:
        return attributes, body.get("data")
    try:
        return attributes, _parsed(base64.b64decode(str(encoded), validate=True))
    except binascii.Error as error:
        raise Unreadable("data_base64 is not base64") from error


def _binary(headers: Mapping[str, str]) -> _Attributes:
    named = {name.removeprefix("ce_"): text for name, text in headers.items() if name.startswith("ce_")}
    return _validated(_Attributes, {**named, "datacontenttype": headers.get(CONTENT_TYPE, JSON_TYPE)})


def _bare(received: Received, body: Mapping[str, object], model: type[Event]) -> _Attributes:
    named = next((body[key] for key in _EVENT_ID_KEYS if key in body), None)
    source = _text(body.get("source")) or f"kafka:{received.topic}"
    event_id = _place(received) if named is None else named
    return _validated(_Attributes, {"specversion": SPEC_VERSION, "id": event_id, "source": source, "type": model.type})


def _place(received: Received) -> str:
    place = f"{received.topic}/{received.partition}/{received.offset}/{received.timestamp_ms}/"
    return blake2b(place.encode() + (received.value or b""), digest_size=_ID_BYTES).hexdigest()


def _refuse_another(attributes: _Attributes, topic: str, model: type[Event]) -> None:
    if attributes.type not in {model.type, topic}:
        raise Unreadable(f"the type is another one: {model.type} is read here")
    media, _, _ = attributes.datacontenttype.partition(";")
    if not media.strip().lower().endswith(("/json", "+json")):
        raise Unreadable("the data is not JSON by its content type")


def _validated(model: type[_Model], data: object) -> _Model:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False, include_context=False)
        named = ", ".join(f"{_field(problem['loc'])}: {problem['type']}" for problem in problems[:_PROBLEMS])
        raise Unreadable(f"the event does not fit its schema: {named}") from None


def _field(location: tuple[int | str, ...]) -> str:
    """The outermost name alone: below it stand keys of the sender's own."""
    return str(location[0]) if location else "data"


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
