import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone

import orjson
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary, from_structured, to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from tailrace.bus.base import Received
from tailrace.bus.cloudevents import Incoming, Unreadable, decode, encode
from tailrace.core.outgoing import OutgoingEvent
from tailrace.events.models import RunQueued, RunRequested
from tailrace.events.outgoing import outgoing
from tailrace.events.topics import TopicNames

NAMES = TopicNames("acme.etl")
TOPIC = NAMES.of(RunRequested.type)
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03"
AT = datetime(2026, 3, 1, 12, 30, 15, 123456, UTC)
QUEUED = RunQueued(run_id="run_1", sync_id="sync_1", workspace_id="ws_1")


def received(
    value: bytes | None, headers: Mapping[str, bytes] | None = None, *, offset: int = 7, timestamp_ms: int = 1_000
) -> Received:
    return Received(TOPIC, 3, offset, b"sync_1", value, headers or {}, timestamp_ms)


def read(value: object, headers: Mapping[str, bytes] | None = None) -> Incoming:
    return decode(received(orjson.dumps(value), headers), RunRequested)


def an_event(**attributes: str) -> CloudEvent:
    required = {"id": "e1", "source": "/shop", "type": RunRequested.type, "specversion": "1.0"}
    optional = {"datacontenttype": "application/json", "time": AT}
    return CloudEvent({**required, **optional, **attributes}, {"sync_id": "sync_1", "full_refresh": True})


def of_sdk(message: KafkaMessage) -> Received:
    return received(message.value, message.headers)


class TestWhatWeSend:
    def test_the_sdk_reads_our_binary_event(self) -> None:
        event = OutgoingEvent(QUEUED.type, "sync_1", QUEUED.model_dump_json().encode(), "e1")

        message = encode(event, NAMES, time=AT, traceparent=TRACEPARENT)

        read_back = from_binary(KafkaMessage(dict(message.headers), message.key, message.value), JSONFormat())
        assert read_back.get_id() == "e1"
        assert read_back.get_source() == "urn:tailrace:acme.etl"
        assert read_back.get_type() == "tailrace.run.queued.v1"
        assert read_back.get_time() == AT
        assert read_back.get_subject() == "sync_1"
        assert read_back.get_dataschema() == "urn:tailrace:schema:tailrace.run.queued.v1"
        assert read_back.get_datacontenttype() == "application/json"
        assert read_back.get_data() == QUEUED.model_dump()

    def test_topic_carries_the_prefix_and_the_key_orders_it(self) -> None:
        message = encode(outgoing(QUEUED, key="sync_1"), NAMES, time=AT)

        assert (message.topic, message.key) == ("acme.etl.run.queued.v1", "sync_1")

    def test_trace_travels_as_a_plain_header(self) -> None:
        message = encode(outgoing(QUEUED, key="sync_1"), NAMES, time=AT, traceparent=TRACEPARENT)

        assert message.headers["traceparent"] == TRACEPARENT.encode()

    def test_untraced_event_has_no_trace_header(self) -> None:
        message = encode(outgoing(QUEUED, key="sync_1"), NAMES, time=AT)

        assert "traceparent" not in message.headers

    def test_time_is_told_in_utc(self) -> None:
        elsewhere = AT.astimezone(timezone(timedelta(hours=5)))

        message = encode(outgoing(QUEUED, key="sync_1"), NAMES, time=elsewhere)

        assert message.headers["ce_time"] == b"2026-03-01T12:30:15.123456Z"

    def test_sent_again_it_is_the_same_event(self) -> None:
        event = outgoing(QUEUED, key="sync_1")

        assert encode(event, NAMES, time=AT) == encode(event, NAMES, time=AT)

    def test_we_read_what_we_send(self) -> None:
        requested = RunRequested(sync_id="sync_1", requested_by="ops")
        event = outgoing(requested, key="sync_1")
        message = encode(event, NAMES, time=AT, traceparent=TRACEPARENT)

        incoming = decode(received(message.value, message.headers), RunRequested)

        assert incoming == Incoming(requested, event.event_id, NAMES.source, TOPIC, TRACEPARENT)


class TestForms:
    def test_binary_event_of_the_sdk_is_read(self) -> None:
        incoming = decode(of_sdk(to_binary(an_event(), JSONFormat())), RunRequested)

        assert incoming == Incoming(RunRequested(sync_id="sync_1", full_refresh=True), "e1", "/shop", TOPIC, None)

    def test_structured_event_of_the_sdk_is_read(self) -> None:
        message = to_structured(an_event(traceparent=TRACEPARENT), JSONFormat())

        incoming = decode(of_sdk(message), RunRequested)

        assert from_structured(message, JSONFormat()).get_id() == "e1"
        assert incoming == Incoming(
            RunRequested(sync_id="sync_1", full_refresh=True), "e1", "/shop", TOPIC, TRACEPARENT
        )

    def test_structured_event_is_known_without_its_content_type(self) -> None:
        message = to_structured(an_event(), JSONFormat())

        incoming = decode(received(message.value), RunRequested)

        assert (incoming.event_id, incoming.source) == ("e1", "/shop")

    def test_structured_data_may_come_in_base64(self) -> None:
        data = base64.b64encode(b'{"sync_id": "sync_1"}').decode()
        event = {"specversion": "1.0", "id": "e1", "source": "/s", "type": RunRequested.type, "data_base64": data}

        incoming = read(event, {"content-type": b"application/cloudevents+json; charset=UTF-8"})

        assert incoming.event == RunRequested(sync_id="sync_1")

    def test_bare_json_is_read_in_either_spelling(self) -> None:
        snake = read({"sync_id": "sync_1", "full_refresh": True, "requested_by": "dbt"})
        camel = read({"syncId": "sync_1", "fullRefresh": True, "requestedBy": "dbt"})

        assert snake.event == camel.event
        assert snake.event == RunRequested(sync_id="sync_1", full_refresh=True, requested_by="dbt")
        assert snake.source == f"kafka:{TOPIC}"

    def test_bare_json_may_name_itself(self) -> None:
        incoming = read({"syncId": "sync_1", "eventId": "e1", "source": "/airflow"})

        assert (incoming.event_id, incoming.source) == ("e1", "/airflow")

    def test_type_may_carry_the_prefix_of_the_installation(self) -> None:
        incoming = decode(of_sdk(to_binary(an_event(type=TOPIC), JSONFormat())), RunRequested)

        assert incoming.event_id == "e1"

    def test_field_of_a_later_release_is_ignored(self) -> None:
        incoming = read({"sync_id": "sync_1", "priority": {"level": [1, 2]}})

        assert incoming.event == RunRequested(sync_id="sync_1")

    def test_header_names_are_read_in_any_case(self) -> None:
        message = to_binary(an_event(), JSONFormat())
        headers = {name.title(): value for name, value in message.headers.items()}

        incoming = decode(received(message.value, headers), RunRequested)

        assert incoming.event_id == "e1"

    def test_malformed_trace_is_no_reason_to_refuse_an_event(self) -> None:
        incoming = read({"sync_id": "sync_1"}, {"traceparent": b"00-zz"})

        assert incoming.traceparent is None


class TestIdOfBareJson:
    def test_redelivered_message_keeps_its_id(self) -> None:
        first = decode(received(b'{"syncId": "s"}'), RunRequested)
        again = decode(received(b'{"syncId": "s"}'), RunRequested)

        assert first.event_id == again.event_id

    @pytest.mark.parametrize(
        "other",
        [
            received(b'{"syncId": "s"}', offset=8),
            received(b'{"syncId": "s"}', timestamp_ms=2_000),
            received(b'{"syncId": "t"}'),
        ],
        ids=["next offset", "same offset of a topic made anew", "other content"],
    )
    def test_other_message_has_another_id(self, other: Received) -> None:
        first = decode(received(b'{"syncId": "s"}'), RunRequested)

        assert decode(other, RunRequested).event_id != first.event_id


GOOD = {"ce_specversion": b"1.0", "ce_id": b"e1", "ce_source": b"/s", "ce_type": RunRequested.type.encode()}


class TestUnreadable:
    @pytest.mark.parametrize(
        ("value", "headers", "told"),
        [
            (None, {}, "not JSON"),
            (b"", {}, "not JSON"),
            (b"\xff\x00garbage", {}, "not JSON"),
            (b"[1, 2]", {}, "not a JSON object"),
            (b'{"sync_id": NaN}', {}, "not JSON"),
            (b'{"a":' * 5000 + b"1" + b"}" * 5000, {}, "not JSON"),
            (b"{}", {}, "sync_id: missing"),
            (b'{"sync_id": 5}', {}, "sync_id: string_type"),
            (b'{"sync_id": "' + b"s" * 65 + b'"}', {}, "sync_id: string_too_long"),
            (b'{"sync_id": "s"}', {**GOOD, "ce_specversion": b"0.3"}, "specversion: literal_error"),
            (b'{"sync_id": "s"}', {**GOOD, "ce_id": b""}, "id: string_too_short"),
            (b'{"sync_id": "s"}', {**GOOD, "ce_id": b"a\x00b"}, "id: string_pattern_mismatch"),
            (b'{"sync_id": "s"}', {**GOOD, "ce_source": b"s" * 513}, "source: string_too_long"),
            (b'{"sync_id": "s"}', {"ce_specversion": b"1.0", "ce_id": b"e1"}, "source: missing, type: missing"),
            (b'{"sync_id": "s"}', {**GOOD, "ce_type": b"tailrace.run.requested.v2"}, "another one"),
            (b'{"sync_id": "s"}', {**GOOD, "content-type": b"application/avro"}, "not JSON by its content type"),
            (b'{"sync_id": "s"}', {"x": b"\xff"}, "header is not UTF-8"),
            (b'{"sync_id": "s", "event_id": 5}', {}, "id: string_type"),
            (b'[{"specversion": "1.0"}]', {"content-type": b"application/cloudevents-batch+json"}, "JSON object"),
            (b'{"sync_id": "s"}', {"content-type": b"application/cloudevents+json"}, "specversion: missing"),
        ],
        ids=[
            "no value",
            "empty value",
            "garbage",
            "array",
            "NaN",
            "nested too deep",
            "empty object",
            "id of a number",
            "id too long",
            "old CloudEvents",
            "empty event id",
            "control character in the event id",
            "source too long",
            "no source and no type",
            "another type",
            "another content type",
            "header not UTF-8",
            "event id of a number",
            "batch",
            "structured by its content type alone",
        ],
    )
    def test_what_is_no_event_is_refused_with_its_reason(
        self, value: bytes | None, headers: Mapping[str, bytes], told: str
    ) -> None:
        with pytest.raises(Unreadable, match=told):
            decode(received(value, headers), RunRequested)

    def test_reason_holds_nothing_of_the_content(self) -> None:
        with pytest.raises(Unreadable) as refused:
            read({"sync_id": ["secret-value"], "requested_by": {"secret-key": "secret-value"}})

        assert "secret" not in refused.value.message
