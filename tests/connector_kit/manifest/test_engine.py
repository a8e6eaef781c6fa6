"""What the engine does besides what is promised: values, keys, limits of the account, what a vendor lists."""

import orjson
import pytest

from tailrace.connector_kit.destination import Target
from tailrace.connector_kit.manifest.attribution import Keyed
from tailrace.connector_kit.manifest.encoding import Encoding, dumped
from tailrace.connector_kit.manifest.engine import destination_of
from tailrace.connector_kit.manifest.limits import Bucket
from tailrace.connector_kit.manifest.model import Fields, Hooks, KnownField, Listing, Objects
from tailrace.connector_kit.manifest.templates import Slot
from tailrace.core.errors import BatchRefused, DestinationInvalid, DestinationUnavailable, Throttled
from tailrace.core.rows import DELIVERED, Operation, Verdict
from tailrace.testing.fake_http import FakeHttp, answer
from tests.connector_kit.manifest.rig import SECRET, Clock, opened, put
from tests.connector_kit.manifest.vendors import CHECKED, DOCS, FOUND, IN_THE_PATH, LOOKED_UP, NINE, vendor, write

BURST = Bucket(
    name="burst", rate="100/10s", source=DOCS, checked=CHECKED, left="X-Left", most="X-Most", span_ms="X-Span"
)
DAILY = Bucket(name="daily", rate="1000/1d", source=DOCS, checked=CHECKED, left="X-Left-Today")


def aligned(count: int) -> object:
    return {"results": [{"success": True}] * count}


@pytest.mark.parametrize(
    ("encoding", "body", "sent"),
    [
        (Encoding(), b'{"a":1.50,"b":12345678901234567890123}', b'{"a":1.50,"b":12345678901234567890123}'),
        (Encoding(number="text"), b'{"a":1.50,"b":[2]}', b'{"a":"1.50","b":[2]}'),
        (Encoding(null="empty_text"), b'{"a":null}', b'{"a":""}'),
        (Encoding(null="left_out"), b'{"a":null,"b":1}', b'{"b":1}'),
        (Encoding(boolean="text"), b'{"a":true,"b":false}', b'{"a":"true","b":"false"}'),
        (Encoding(array="joined_by_semicolon"), b'{"a":["x",1.0,null]}', b'{"a":"x;1.0;"}'),
        (Encoding(array="text", nested="text"), b'{"a":[1],"b":{"c":2.0}}', b'{"a":"[1]","b":"{\\"c\\":2.0}"}'),
        (Encoding(), '{"a":"é\u2028\\"😀"}'.encode(), '{"a":"é\u2028\\"😀"}'.encode()),
    ],
)
def test_value_arrives_as_the_vendor_takes_it(encoding: Encoding, body: bytes, sent: bytes) -> None:
    assert dumped(encoding.fields(body)) == sent


async def test_row_without_a_value_in_its_key_is_rejected_and_the_others_go() -> None:
    http = FakeHttp(answer(200, aligned(1)))

    result = await put(opened(vendor(write(NINE["aligned"])), http), Operation.UPSERT, b'{"id":""}', b'{"id":"2"}')

    assert [(each.verdict, each.code) for each in result.outcomes] == [
        (Verdict.REJECTED, "EMPTY_KEY"),
        (Verdict.DELIVERED, ""),
    ]
    assert orjson.loads(http.requests[0].body) == {"rows": [{"id": "2", "trace": "01234567-1"}]}


async def test_keys_that_are_the_same_to_the_vendor_are_sent_apart() -> None:
    http = FakeHttp()
    manifest = vendor(write(Keyed(errors="errors", key="key", fold="lower")))

    with pytest.raises(BatchRefused, match="the same"):
        await put(opened(manifest, http), Operation.UPSERT, b'{"id":"A@x"}', b'{"id":"a@X"}')

    assert http.requests == []


async def test_key_in_an_address_is_quoted() -> None:
    http = FakeHttp(answer(200))

    await put(opened(IN_THE_PATH, http), Operation.UPSERT, '{"id":"a/../ü?x=1#"}'.encode())

    assert http.requests[0].url == "https://vendor.example/by/id/a%2F..%2F%C3%BC%3Fx%3D1%23"


async def test_row_that_is_not_there_is_made_and_one_that_is_changed() -> None:
    found, nobody = answer(200, {"found": [{"own": 7, "by": {"id": "1"}}]}), answer(200, {"found": []})
    http = FakeHttp(found, answer(200), nobody, answer(201))
    destination = opened(LOOKED_UP, http)

    await put(destination, Operation.UPSERT, b'{"id":"1"}')
    await put(destination, Operation.UPSERT, b'{"id":"2"}')

    asked = [(request.method, request.url.removeprefix("https://vendor.example")) for request in http.requests]
    assert asked == [("POST", "/search"), ("PATCH", "/one/7"), ("POST", "/search"), ("POST", "/new")]


async def test_look_up_alone_decides_about_rows_that_are_or_are_not_there() -> None:
    http = FakeHttp(answer(200, {"found": [{"own": "7", "by": {"id": "1"}}]}), answer(200, aligned(1)))
    updated = await put(opened(LOOKED_UP, http), Operation.UPDATE, b'{"id":"1"}', b'{"id":"2"}')
    http.then(answer(200, {"found": [{"own": "7", "by": {"id": "1"}}]}), answer(200, aligned(1)))
    inserted = await put(opened(LOOKED_UP, http), Operation.INSERT, b'{"id":"1"}', b'{"id":"2"}')
    http.then(answer(200, {"found": []}))
    deleted = await put(opened(LOOKED_UP, http), Operation.DELETE, b'{"id":"1"}')

    assert [each.code for each in updated.outcomes] == ["", "NOT_FOUND"]
    assert [each.code for each in inserted.outcomes] == ["ALREADY_EXISTS", ""]
    assert deleted.outcomes == [DELIVERED]


async def test_nothing_is_sent_while_the_account_has_no_requests_left() -> None:
    clock = Clock()
    http = FakeHttp(
        answer(200, aligned(1), {"x-left": "0", "x-span": "4000"}), answer(200, aligned(1), {"x-left": "9"})
    )
    destination = opened(vendor(write(NINE["aligned"]), buckets=(BURST, DAILY)), http, clock)
    await put(destination, Operation.UPSERT, b'{"id":"1"}')

    with pytest.raises(Throttled) as throttled:
        await put(destination, Operation.UPSERT, b'{"id":"2"}')
    clock.at_s = 4.0
    later = await put(destination, Operation.UPSERT, b'{"id":"2"}')

    assert throttled.value.retry_after_s == 4.0
    assert later.outcomes == [DELIVERED]
    assert len(http.requests) == 2


async def test_pace_is_by_the_settings_else_as_learned_else_by_the_manifest() -> None:
    manifest = vendor(write(NINE["aligned"]), buckets=(DAILY, BURST))
    http = FakeHttp(answer(200, {}, {"x-most": "190"}))
    target = Target("people", Operation.UPSERT, ("id",), ("id",))
    destination = opened(manifest, http)

    before = await destination.plan(target)
    await destination.check()
    learned = await destination.plan(target)
    by_settings = await opened(manifest, http, rates={"burst": "250/10s"}).plan(target)

    assert (before.requests_per_s, learned.requests_per_s, by_settings.requests_per_s) == (10, 19, 25)


async def test_limits_can_be_those_of_the_account() -> None:
    http = FakeHttp()
    destination = opened(vendor(write(NINE["aligned"])), http, rows_per_batch=3, bytes_per_batch=2000)

    plan = await destination.plan(Target("people", Operation.UPSERT, ("id",), ("id",)))

    frame = b'{"rows":[{"trace":""},{"trace":""},{"trace":""}]}'
    assert (plan.rows_per_batch, plan.bytes_per_batch) == (3, 2000 - len(frame))
    with pytest.raises(BatchRefused, match="2000"):
        await put(destination, Operation.UPSERT, *(b'{"id":"%d","name":"%b"}' % (n, b"x" * 900) for n in range(3)))


async def test_secret_that_an_answer_repeats_is_masked() -> None:
    http = FakeHttp(answer(200, {"results": [{"success": False, "message": f"not with {SECRET}", "code": SECRET}]}))

    result = await put(opened(vendor(write(NINE["aligned"])), http), Operation.UPSERT, b'{"id":"1"}')

    assert (result.outcomes[0].message, result.outcomes[0].code) == ("not with ***", "***")


@pytest.mark.parametrize("told", [{"code": f"x{SECRET}"}, {"message": SECRET}])
async def test_secret_is_masked_in_either_place(told: dict[str, str]) -> None:
    http = FakeHttp(answer(200, {"results": [{"success": False} | told]}))

    result = await put(opened(vendor(write(NINE["aligned"])), http), Operation.UPSERT, b'{"id":"1"}')

    assert SECRET not in result.outcomes[0].code + result.outcomes[0].message


async def test_key_that_comes_back_in_small_letters_is_found() -> None:
    key = FOUND.model_copy(update={"fold": "lower"})
    manifest = vendor(*[write(NINE["all or nothing"], key=key, row={"own": Slot.FOUND})] * 4)
    http = FakeHttp(answer(200, {"found": [{"own": "7", "by": {"id": "a@x"}}]}), answer(200))

    await put(opened(manifest, http), Operation.DELETE, b'{"id":"A@x"}')

    assert orjson.loads(http.requests[1].body) == {"rows": [{"own": "7"}]}


async def test_one_row_a_request_stays_one_whatever_the_settings_say() -> None:
    destination = opened(vendor(write(NINE["single"])), FakeHttp(), rows_per_batch=50)

    plan = await destination.plan(Target("people", Operation.UPSERT, ("id",), ("id", "name")))

    assert plan.rows_per_batch == 1


async def test_key_of_an_exact_field_is_not_another_one_in_small_letters() -> None:
    key = FOUND.model_copy(update={"fold": "lower", "exact": ("id",)})
    manifest = vendor(*[write(NINE["all or nothing"], key=key, row={"own": Slot.FOUND})] * 4)
    http = FakeHttp(
        answer(200, {"found": [{"own": "7", "by": {"id": "a1"}}, {"own": "8", "by": {"id": "A1"}}]}), answer(200)
    )

    await put(opened(manifest, http), Operation.DELETE, b'{"id":"A1"}')

    assert orjson.loads(http.requests[1].body) == {"rows": [{"own": "8"}]}


async def test_answer_without_the_headers_says_nothing_about_what_is_left() -> None:
    http = FakeHttp(answer(200, {}, {"x-left": "0"}), answer(200))
    destination = opened(vendor(write(NINE["aligned"]), buckets=(BURST,)), http)
    await destination.check()
    destination._pressure.learn(answer(503))

    with pytest.raises(Throttled):
        await destination.check()


async def test_rate_of_a_name_that_there_is_not_is_refused() -> None:
    connector = destination_of(vendor(write(NINE["aligned"]), buckets=(BURST,)))
    settings = connector.settings_type.model_validate({"token": SECRET, "rates": {"brust": "1/1s"}})

    with pytest.raises(DestinationInvalid, match="it has burst"):
        async with connector.open(settings, FakeHttp()):
            pass


async def test_hooks_change_rows_keys_and_headers() -> None:
    http = FakeHttp(answer(200, aligned(1)))
    hooks = Hooks(
        row=lambda fields: {**fields, "name": str(fields["name"]).upper()},
        key=lambda key: key.lower(),
        headers=lambda asked: {"X-Size": str(len(asked.body))},
    )

    await put(opened(vendor(write(NINE["aligned"]), hooks=hooks), http), Operation.UPSERT, b'{"id":"A","name":"ada"}')

    [request] = http.requests
    assert orjson.loads(request.body)["rows"][0]["name"] == "ADA"
    assert request.headers["X-Size"] == str(len(request.body))


async def test_rows_to_delete_stand_in_the_body_where_the_vendor_wants_them_there() -> None:
    deletes = write(NINE["all or nothing"], method="DELETE", row=Slot.KEY, deletes_by_body=True)
    manifest = vendor(*[write(NINE["aligned"])] * 3, deletes)
    http = FakeHttp(answer(200))

    await put(opened(manifest, http), Operation.DELETE, b'{"id":"1"}', b'{"id":"2"}')

    [request] = http.requests
    assert (request.method, orjson.loads(request.body)) == ("DELETE", {"rows": ["1", "2"]})
    assert request.headers["Content-Type"] == "application/json"


async def test_fields_that_the_manifest_knows_stand_apart_from_the_others() -> None:
    row = {"*": Slot.KNOWN, "more": Slot.CUSTOM}
    fields = Fields(known=(KnownField(name="id", is_key=True), KnownField(name="name")), are_all=False)
    http = FakeHttp(answer(200, aligned(1)))

    await put(
        opened(vendor(write(NINE["aligned"], row=row), fields=fields), http),
        Operation.UPSERT,
        b'{"id":"1","name":null,"plan":"pro","more":2.50}',
    )

    assert b'{"id":"1","name":null,"more":{"plan":"pro","more":2.50}}' in http.requests[0].body


@pytest.mark.parametrize("half", [Slot.KNOWN, Slot.CUSTOM])
def test_half_of_the_fields_is_refused(half: Slot) -> None:
    with pytest.raises(ValueError, match="write both"):
        write(NINE["aligned"], row={"*": half})


@pytest.mark.parametrize("after", ["x y", "https://elsewhere.example/objects?limit=1&from=x%20y"])
async def test_listing_is_read_to_its_last_page(after: str) -> None:
    objects = Objects(
        listing=Listing(path="/objects?limit=2", each="list", next="paging.after", cursor="from"), label="title"
    )
    pages = [
        answer(200, {"list": [{"name": "a"}], "paging": {"after": after}}),
        answer(200, {"list": [{"name": "b", "title": "B"}]}),
    ]
    http = FakeHttp(*pages)

    found = await opened(vendor(write(NINE["aligned"]), objects=objects), http).objects()

    assert [(each.name, each.label) for each in found] == [("a", "a"), ("b", "B")]
    assert http.requests[1].url.endswith("/objects?limit=2&from=x%20y")


async def test_object_is_writable_unless_the_vendor_says_otherwise() -> None:
    objects = Objects(listing=Listing(path="/objects", each="list"), is_read_only="fixed")
    listed = [{"name": "a"}, {"name": "b", "fixed": False}, {"name": "c", "fixed": True}]

    found = await opened(
        vendor(write(NINE["aligned"]), objects=objects), FakeHttp(answer(200, {"list": listed}))
    ).objects()

    assert [each.writable for each in found] == [True, True, False]


async def test_next_page_without_its_cursor_is_no_end() -> None:
    objects = Objects(listing=Listing(path="/objects", each="list", next="next", cursor="from"))
    http = FakeHttp(answer(200, {"list": [], "next": "https://vendor.example/objects?page=2"}))

    with pytest.raises(DestinationUnavailable, match="without 'from'"):
        await opened(vendor(write(NINE["aligned"]), objects=objects), http).objects()


@pytest.mark.parametrize(
    ("target", "told"),
    [
        (Target("people", Operation.DELETE, ("id",), ("id",)), "takes no delete; it takes upsert"),
        (Target("people", Operation.UPSERT, ("id", "name"), ("id", "name")), "give one key"),
        (Target("people", Operation.UPSERT, ("name",), ("name",)), "'name' identifies no people"),
        (Target("people", Operation.UPSERT, ("id",), ("id", "age")), "no field to write to named age; it has id, name"),
        (Target("../people", Operation.UPSERT, ("id",), ("id",)), "there is no object '../people'; there are people"),
    ],
)
async def test_target_that_cannot_be_served_is_refused_with_what_can(target: Target, told: str) -> None:
    fields = Fields(listing=Listing(path="/fields", each="fields"), is_read_only="fixed")
    listed = [{"name": "id"}, {"name": "name"}, {"name": "made", "fixed": True}]
    http = FakeHttp(answer(200, {"fields": listed}))

    with pytest.raises(DestinationInvalid) as refused:
        await opened(vendor(write(NINE["aligned"]), fields=fields), http).plan(target)

    assert told in refused.value.message


async def test_plan_takes_the_fields_that_were_told_within_a_minute() -> None:
    fields = Fields(listing=Listing(path="/fields", each="fields"))
    http, clock = FakeHttp(answer(200, {"fields": [{"name": "id"}, {"name": "name"}]})), Clock()
    destination = opened(vendor(write(NINE["aligned"]), fields=fields), http, clock)
    target = Target("people", Operation.UPSERT, ("id",), ("id", "name"))

    await destination.fields("people")
    await destination.plan(target)
    clock.at_s += 59
    await destination.plan(target)
    assert len(http.requests) == 1
    clock.at_s += 2
    await destination.plan(target)

    assert len(http.requests) == 2
