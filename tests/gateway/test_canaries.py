"""Secrets that are entered over the API come out nowhere: not in answers, logs, metrics or the store."""

import logging

import pytest

from tailrace.connector_kit import registry
from tailrace.connector_kit.registry import Entry
from tailrace.observe.metrics import exposition
from tests.gateway.caller import Answered, Caller, Json
from tests.gateway.conftest import Gateway

_CANARY = "c4nary"


def _entries() -> list[Entry]:
    return [entry for entry in registry.catalogue() if entry.secret_fields]


def _settings(entry: Entry, *, wrong: bool = False) -> Json:
    """Settings with a canary in each secret field; they may or may not be taken."""
    schema = entry.settings_schema
    given: Json = {"host": "127.0.0.1", "user": "reader", "port": 1, "url": "http://127.0.0.1:9/rows"}
    shown = {name: value for name, value in given.items() if name in schema["properties"]}
    secret = {
        name: _secret(schema["properties"][name], f"{_CANARY}-{entry.name}-{name}") for name in entry.secret_fields
    }
    return shown | secret | ({next(iter(entry.secret_fields)): {"odd": [_CANARY]}} if wrong else {})


def _secret(schema: Json, canary: str) -> Json:
    kinds = {schema.get("type"), *(choice.get("type") for choice in schema.get("anyOf", ()))}
    if "object" in kinds:
        return {"X-Key": canary}
    return [canary] if "array" in kinds else canary


async def _every_call(caller: Caller, entry: Entry) -> list[Answered]:
    """Make, look at, test, change and delete a connection, rightly and wrongly."""
    path = "/api/sources" if entry.kind == "warehouse" else "/api/destinations"
    body = {"name": "n", "connector": entry.name, "settings": _settings(entry)}
    made = await caller.post(path, body, headers={"Idempotency-Key": "k"})
    said = [made, await caller.post(path, body, headers={"Idempotency-Key": "k"})]
    said.append(await caller.post(path, body | {"settings": _settings(entry, wrong=True)}))
    said.append(await caller.post(path, body | {"settings": _settings(entry) | {_CANARY + "-field": _CANARY}}))
    said.append(await caller.post(path, b'{"settings": {"password": "c4nary"'))
    one = f"{path}/{made.json['data']['id']}" if made.status == 201 else f"{path}/conn_none"
    said += [await caller.get(one), await caller.get(path), await caller.post(one + "/test")]
    said.append(await caller.put(one, {"settings": _settings(entry) | {"port": 2}}))
    said.append(await caller.put(one, {"settings": _settings(entry, wrong=True)}))
    said += [await caller.get("/api/audit"), await caller.delete(one), await caller.get(one)]
    return said


def test_there_are_fields_to_try() -> None:
    assert sum(len(entry.secret_fields) for entry in _entries()) >= 8


@pytest.mark.parametrize("entry", _entries(), ids=lambda entry: f"{entry.kind} {entry.name}")
async def test_secret_is_told_to_nobody(
    gateway: Gateway,
    admin: Caller,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    entry: Entry,
) -> None:
    caplog.set_level(logging.DEBUG)

    said = await _every_call(admin, entry)

    logged = capsys.readouterr()
    told = [answered.raw for answered in said if f'"{_CANARY}-field"' not in answered.raw.decode()]
    assert [raw for raw in told if f"{_CANARY}-{entry.name}".encode() in raw] == []
    assert _CANARY not in logged.out + logged.err + caplog.text
    assert _CANARY.encode() not in exposition()
    assert await _found_in_store(gateway) == []


async def test_token_is_told_to_nobody_but_its_maker(
    gateway: Gateway, admin: Caller, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    made = await admin.post("/api/tokens", {"name": "ci", "role": "viewer"})
    secret = made.attributes["token"][13:]

    said = [await admin.get("/api/tokens"), await admin.get("/api/audit")]

    logged = capsys.readouterr()
    store = [await _table(gateway, table) for table in await _tables(gateway)]
    assert [raw for raw in (answered.raw for answered in said) if secret.encode() in raw] == []
    assert secret not in logged.out + logged.err + caplog.text
    assert [text for text in store if secret in text] == []


async def _found_in_store(gateway: Gateway) -> list[str]:
    return [table for table in await _tables(gateway) if _CANARY in await _table(gateway, table)]


async def _tables(gateway: Gateway) -> list[str]:
    rows = await gateway.stores.database.fetch(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    return [row["relname"] for row in rows]


async def _table(gateway: Gateway, table: str) -> str:
    """Every row as text; bytea is decoded too, as far as it is text."""
    text: str = await gateway.stores.database.fetchval(
        f"SELECT coalesce(string_agg(t::text, '|'), '') FROM {table} AS t"
    )
    return text + bytes.fromhex("".join(part for part in _hex(text))).decode(errors="replace")


def _hex(text: str) -> list[str]:
    return [part[: len(part) // 2 * 2] for part in (_leading_hex(each) for each in text.split("\\x")[1:])]


def _leading_hex(text: str) -> str:
    return text[: next((at for at, letter in enumerate(text) if letter not in "0123456789abcdef"), len(text))]
