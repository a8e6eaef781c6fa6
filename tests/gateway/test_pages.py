"""Walks through lists while others write: each thing that stays is seen once."""

import pytest

from tests.gateway.caller import A_DESTINATION, A_SOURCE, Caller, Json

LISTS = {"/api/sources": A_SOURCE, "/api/destinations": A_DESTINATION}


async def _walk(admin: Caller, path: str, made: list[str], body: Json) -> list[str]:
    """All pages of three; before each but the first, one thing comes and one goes."""
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await admin.get(f"{path}?limit=3{cursor}")).json
        seen += [each["id"] for each in page["data"]]
        if page["meta"]["page"]["cursor"] is None:
            return seen
        cursor = f"&cursor={page['meta']['page']['cursor']}"
        await admin.made(path, body)
        await admin.delete(f"{path}/{made.pop()}")


@pytest.mark.parametrize("path", LISTS)
async def test_each_old_row_is_seen_once_while_others_come_and_go(admin: Caller, path: str) -> None:
    body = LISTS[path]
    stay = [await admin.made(path, body) for _ in range(8)]
    go = [await admin.made(path, body) for _ in range(8)]
    gone = list(go)

    seen = await _walk(admin, path, gone, body)

    assert [each for each in seen if each in stay] == stay
    assert len(set(seen)) == len(seen)
    assert set(seen) >= set(gone)
