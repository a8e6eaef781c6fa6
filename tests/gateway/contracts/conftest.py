"""Things of RudderStack's contract: a source to make connections of."""

import pytest_asyncio

from tests.gateway.caller import Caller, a_retl_connection, a_retl_source


@pytest_asyncio.fixture
async def model_id(admin: Caller, source_id: str) -> str:
    return str((await admin.post("/v2/retl-sources", a_retl_source(source_id))).json["id"])


@pytest_asyncio.fixture
async def connection_id(admin: Caller, model_id: str, destination_id: str) -> str:
    made = await admin.post("/v2/retl-connections", a_retl_connection(model_id, destination_id))
    return str(made.json["id"])
