"""What belongs to another workspace does not exist: every operation, asked with every id it takes.

The tables of operations are complete by test: an operation that takes an id and is in none of them fails here.
"""

import re

from tests.gateway.caller import Answered, Caller, Json
from tests.gateway.conftest import Gateway
from tests.gateway.deeds import DEEDS, Deed, Scene, set_scene
from tests.gateway.looks import look, looks

_EVERYTHING = """
SELECT string_agg(query_to_xml(format('SELECT * FROM %I ORDER BY 1, 2', relname), true, true, '')::text, '|'
  ORDER BY relname)
FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
  AND relname NOT IN ('tokens', 'schema_migrations', 'inbox')
"""


def _unknown(scene: Scene) -> Scene:
    """Ids of the same kinds that nobody has."""
    return Scene({name: each[:-6] + "000000" for name, each in scene.ids.items()})


def _said(answered: Answered, scene: Scene) -> Json:
    """What was answered, but for the ids that the caller gave itself."""
    text = answered.raw.decode()
    for each in (*scene.ids.values(), *_unknown(scene).ids.values()):
        text = text.replace(each, "ID")
    return answered.status, text


def _takes_id(deed: Deed) -> bool:
    return bool(re.search(r"{[a-z_]+}", deed.path + repr(deed.body)))


async def _do(caller: Caller, deed: Deed, scene: Scene) -> Answered:
    return await caller.call(deed.method, deed.path.format(**scene.ids), scene.fill(deed.body))


async def test_looking_at_what_others_have_shows_nothing(gateway: Gateway, admin: Caller, stranger: Caller) -> None:
    scene = await set_scene(gateway, admin)
    asked = [(route, field) for route, field in looks() if route.operation_id != "followRun"]

    foreign = {(route.operation_id, field): await look(stranger, route, field, scene) for route, field in asked}
    unknown = {
        (route.operation_id, field): await look(stranger, route, field, _unknown(scene)) for route, field in asked
    }

    told = {each: said.raw for each, said in foreign.items() if _said(said, scene) != _said(unknown[each], scene)}
    assert told == {}
    assert [each for each, answered in foreign.items() if each[1] is None and answered.status != 404] == []
    assert [each for each, answered in foreign.items() if answered.status not in {200, 404}] == []


async def test_changing_what_others_have_changes_nothing(gateway: Gateway, admin: Caller, stranger: Caller) -> None:
    scene = await set_scene(gateway, admin)
    deeds = {name: deed for name, deed in DEEDS.items() if _takes_id(deed)}
    before = await gateway.stores.database.fetchval(_EVERYTHING)

    foreign = {name: await _do(stranger, deed, scene) for name, deed in deeds.items()}
    unknown = {name: await _do(stranger, deed, _unknown(scene)) for name, deed in deeds.items()}

    assert {name: answered.status for name, answered in foreign.items() if answered.status != 404} == {}
    told = {name: said.raw for name, said in foreign.items() if _said(said, scene) != _said(unknown[name], scene)}
    assert told == {}
    assert await gateway.stores.database.fetchval(_EVERYTHING) == before


async def test_one_foreign_id_among_own_ones_does_not_pass(gateway: Gateway, admin: Caller, stranger: Caller) -> None:
    theirs, mine = await set_scene(gateway, admin), await set_scene(gateway, stranger)

    started = await stranger.post(
        "/api/reverse-etl/sync/run", {"syncIds": [mine.ids["idle_sync"], theirs.ids["idle_sync"]]}
    )
    resolved = await stranger.post(
        "/api/reverse-etl/dlq/resolve",
        {"entryIds": [mine.ids["letter"], theirs.ids["letter"]], "resolution": "skipped"},
    )

    runs = (await admin.get(f"/api/reverse-etl/runs?sync_id={theirs.ids['idle_sync']}")).json["data"]
    assert (started.status, resolved.status) == (200, 404)
    assert started.json["data"][1]["attributes"]["error_code"] == "SYNC_NOT_FOUND"
    assert runs == []


async def test_cursor_of_others_opens_nothing(gateway: Gateway, admin: Caller, stranger: Caller) -> None:
    await set_scene(gateway, admin)
    cursor = (await admin.get("/api/reverse-etl/syncs?limit=1")).json["meta"]["page"]["cursor"]

    refused = await stranger.get(f"/api/reverse-etl/syncs?limit=1&cursor={cursor}")

    assert (refused.status, refused.json["code"]) == (400, "CURSOR")
