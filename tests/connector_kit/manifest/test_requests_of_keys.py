"""A key may have a request of its own, with the rest of the operation the same for all; and what stands for keys."""

import orjson
import pytest
from pydantic import ValidationError

from tailrace.connector_kit.destination import Target
from tailrace.connector_kit.manifest.answer_rules import AnswerRule, Then
from tailrace.connector_kit.manifest.encoding import Encoding
from tailrace.connector_kit.manifest.engine import destination_of
from tailrace.connector_kit.manifest.rehearsal import PROMISES, Promise, rehearse
from tailrace.connector_kit.manifest.stage import Stage
from tailrace.connector_kit.manifest.templates import Slot
from tailrace.connector_kit.manifest.writes import Ask, IdentityKey, NamedKey
from tailrace.core.batches import Batch
from tailrace.core.errors import DestinationInvalid
from tailrace.core.rows import DELIVERED, Operation, Row, RowKey
from tailrace.core.snapshots import hash_row
from tailrace.testing.fake_http import FakeHttp, answer
from tests.connector_kit.manifest.vendors import FOUND, NINE, vendor, write

BY_NAME = write(
    NINE["aligned"],
    key=NamedKey(fields=("name", "id")),
    row={"name": Slot.KEY},
    by_key={"id": Ask(path="/by/{key_name}", rows_at="ids", row="$fields.id|lower")},
    rules=(AnswerRule(status=(418,), then=Then.DELIVERED),),
)
DELETES = vendor(*[write(NINE["aligned"])] * 3, BY_NAME)


@pytest.mark.parametrize(
    ("key", "path", "body"),
    [("name", "/people", b'{"rows":[{"name":"A"}]}'), ("id", "/by/id", b'{"ids":["a"]}')],
)
async def test_row_is_sent_by_the_request_of_its_key_and_answered_alike(key: str, path: str, body: bytes) -> None:
    http, connector, sent = FakeHttp(answer(418)), destination_of(DELETES), b'{"%b":"A"}' % key.encode()
    row = Row(RowKey(("A",)), sent, hash_row(sent))

    async with connector.open(connector.settings_type.model_validate({"token": "made-up"}), http) as destination:
        plan = await destination.plan(Target("people", Operation.DELETE, (key,), (key,)))
        written = await destination.write(plan, Batch(Operation.DELETE, [row], "0123456789"))

    assert [(each.url, each.body) for each in http.requests] == [(f"https://vendor.example{path}", body)]
    assert written.outcomes == [DELIVERED]


async def test_key_is_not_asked_for_the_fields_of_another() -> None:
    with_mail = vendor(BY_NAME.model_copy(update={"row": {"name": Slot.KEY, "mail": "$fields.mail"}}))
    connector = destination_of(with_mail)

    async with connector.open(connector.settings_type.model_validate({"token": "made-up"}), FakeHttp()) as destination:
        await destination.plan(Target("people", Operation.UPSERT, ("id",), ("id",)))
        with pytest.raises(DestinationInvalid, match="needs these fields, map them: mail"):
            await destination.plan(Target("people", Operation.UPSERT, ("name",), ("name",)))


async def test_promises_are_tried_by_the_request_of_each_key() -> None:
    tried: list[str] = []

    async def promise(stage: Stage) -> str | None:
        tried.extend(stage.plan.target.key_fields)
        return None

    await rehearse(vendor(BY_NAME), promise)

    assert tried == ["name", "id"]


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
async def test_promise_holds_for_the_request_of_each_key(promise: Promise) -> None:
    by_name = BY_NAME.model_copy(update={"rules": ()})

    assert await rehearse(vendor(by_name), promise) == []


async def test_ids_are_texts_where_the_vendor_wants_them_so_and_flags_stay_flags() -> None:
    by_ids = write(NINE["indexed"], key=IdentityKey(fields=("id", "name", "is_new")), row=Slot.FIELDS)
    connector, http = destination_of(vendor(by_ids, encoding=Encoding(key="text"))), FakeHttp(answer(200, {}))
    sent = b'{"id":1,"name":null,"is_new":true,"n":2}'

    async with connector.open(connector.settings_type.model_validate({"token": "made-up"}), http) as destination:
        plan = await destination.plan(Target("people", Operation.UPSERT, ("id",), ("id", "name", "is_new", "n")))
        await destination.write(
            plan, Batch(Operation.UPSERT, [Row(RowKey(("1",)), sent, hash_row(sent))], "0123456789")
        )

    assert http.requests[0].body == b'{"rows":[{"id":"1","name":null,"is_new":true,"n":2}]}'


@pytest.mark.parametrize(
    ("own", "more", "told"),
    [
        (Ask(path="/one/{key}"), {}, "several rows need a place in the body"),
        (Ask(path="/", rows_at="rows"), {"appends": True, "row": Slot.FIELDS}, "what is appended has no key"),
        (
            Ask(path="/", rows_at="rows", row={"*": Slot.OTHERS}),
            {"key": IdentityKey(fields=("id", "name"))},
            r"\$others leaves id, name out",
        ),
    ],
)
def test_request_of_a_key_must_fit_its_operation(own: Ask, more: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        write(NINE["aligned"], by_key={"id": own}, **more)


async def test_other_field_by_which_ids_are_looked_up_is_a_text_too_where_the_vendor_wants_keys_so() -> None:
    key = FOUND.model_copy(update={"fields": ("id", "name")})
    manifest = vendor(write(NINE["all or nothing"], key=key, row=Slot.FIELDS), encoding=Encoding(key="text"))
    found = answer(200, {"found": [{"own": "7", "by": {"id": "1"}}]})
    connector, http, sent = destination_of(manifest), FakeHttp(found, answer(200)), b'{"id":1,"name":2,"n":3}'
    row = Row(RowKey(("1",)), sent, hash_row(sent))

    async with connector.open(connector.settings_type.model_validate({"token": "made-up"}), http) as destination:
        plan = await destination.plan(Target("people", Operation.UPSERT, ("id",), ("id", "name", "n")))
        await destination.write(plan, Batch(Operation.UPSERT, [row], "0123456789"))

    assert orjson.loads(http.requests[-1].body) == {"rows": [{"id": "1", "name": "2", "n": 3}]}


@pytest.mark.parametrize(
    ("at", "told"),
    [
        (b'"2026-11-22T01:00:00.5+01:00"', 1795305600),
        (b'"2026-11-22"', 1795305600),
        (b"1795305600", 1795305600),
        (b"null", None),
    ],
)
async def test_moments_are_seconds_since_1970_where_the_vendor_wants_them_so(at: bytes, told: int | None) -> None:
    manifest = vendor(write(NINE["indexed"], row=Slot.FIELDS), encoding=Encoding(epoch_s=("at",)))
    connector, http, sent = destination_of(manifest), FakeHttp(answer(200, {})), b'{"id":"1","at":%b}' % at
    row = Row(RowKey(("1",)), sent, hash_row(sent))

    async with connector.open(connector.settings_type.model_validate({"token": "made-up"}), http) as destination:
        plan = await destination.plan(Target("people", Operation.UPSERT, ("id",), ("id", "at")))
        await destination.write(plan, Batch(Operation.UPSERT, [row], "0123456789"))

    assert orjson.loads(http.requests[0].body) == {"rows": [{"id": "1", "at": told}]}


@pytest.mark.parametrize("text", ["private", "1795305600", "1612010112000", " 1612010112000 "])
def test_text_that_is_no_moment_is_refused_by_the_name_of_its_field(text: str) -> None:
    with pytest.raises(ValueError, match="at: the value is no date or time of ISO 8601"):
        Encoding(epoch_s=("at",)).fields(orjson.dumps({"at": text}))
