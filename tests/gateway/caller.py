"""Somebody who calls the API, and what they usually say."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import orjson
from aiohttp import ClientSession

from tests.gateway.documented import require_documented

Json = Any

A_SOURCE = {
    "name": "Warehouse",
    "connector": "postgres",
    "settings": {"host": "127.0.0.1", "port": 1, "user": "reader", "password": "s3cret-canary"},
}
HTTP_SETTINGS: dict[str, Json] = {"url": "http://127.0.0.1:9/rows", "bearer_token": "t0ken-canary"}
A_DESTINATION = {"name": "CRM", "connector": "http", "settings": HTTP_SETTINGS}


@dataclass(frozen=True, slots=True)
class Answered:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def json(self) -> Json:
        return orjson.loads(self.raw)

    @property
    def attributes(self) -> Json:
        return self.json["data"]["attributes"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Calls with a token; an empty one sends no header."""

    session: ClientSession
    url: str
    token: str = ""

    async def call(
        self, method: str, path: str, body: Json = None, *, headers: Mapping[str, str] | None = None
    ) -> Answered:
        """Send a body of bytes as it is, anything else as JSON, None as nothing; the answer must be documented."""
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        sent = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.token}"} if self.token else {})
        async with self.session.request(
            method, self.url + path, data=BytesIO(raw), headers=sent | dict(headers or {})
        ) as got:
            answered = Answered(got.status, got.headers, await got.read())
        require_documented(method, path, answered.status, answered.headers, answered.raw)
        return answered

    async def get(self, path: str) -> Answered:
        return await self.call("GET", path)

    async def post(self, path: str, body: Json = None, **options: Mapping[str, str]) -> Answered:
        return await self.call("POST", path, body, **options)

    async def put(self, path: str, body: Json) -> Answered:
        return await self.call("PUT", path, body)

    async def delete(self, path: str) -> Answered:
        return await self.call("DELETE", path)

    async def made(self, path: str, body: Json) -> str:
        """The id of a thing made from the body."""
        answered = await self.post(path, body)
        assert answered.status == 201, answered.raw
        return str(answered.json["data"]["id"])


def a_sync(destination_id: str, **changes: Json) -> dict[str, Json]:
    """The sync of the contract's example."""
    return {
        "name": "crm_accounts_warehouse_to_salesforce",
        "sourceQuery": "SELECT account_id, name FROM analytics.dim_crm_account WHERE is_active = true",
        "destinationId": destination_id,
        "objectName": "Account",
        "fieldMappings": [
            {"source": "account_id", "destination": "External_Id__c", "key": True},
            {"source": "name", "destination": "Name"},
        ],
        "syncMode": "upsert",
        "schedule": {"type": "cron", "expression": "15 */4 * * *", "timezone": "UTC"},
    } | changes


def a_retl_source(account_id: str, **changes: Json) -> dict[str, Json]:
    """A source as RudderStack's clients make one."""
    return {
        "name": "CRM accounts",
        "config": {"primaryKey": "account_id", "sql": "SELECT account_id, name FROM dim_crm_account"},
        "sourceType": "model",
        "sourceDefinitionName": "postgres",
        "accountId": account_id,
        "enabled": True,
        "externalId": "",
    } | changes


def a_retl_connection(source_id: str, destination_id: str, **changes: Json) -> dict[str, Json]:
    """A connection as RudderStack's clients make one, to an object of its destination."""
    return {
        "sourceId": source_id,
        "destinationId": destination_id,
        "enabled": True,
        "schedule": {"type": "basic", "everyMinutes": 60},
        "syncBehaviour": "upsert",
        "identifiers": [{"from": "account_id", "to": "External_Id__c"}],
        "mappings": [{"from": "name", "to": "Name"}],
        "object": "Account",
    } | changes
