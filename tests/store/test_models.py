"""Models, and the links of the syncs that read them."""

import asyncio

import pytest
import pytest_asyncio

from tailrace.core.errors import Conflict, NotFound
from tailrace.core.ids import WorkspaceId
from tailrace.store.database import Database, Within
from tailrace.store.models import Model, ModelDraft, ModelKind, Models
from tailrace.store.sync_links import LinkFilter, SyncLink, SyncLinks
from tailrace.testing.eventually import eventually
from tests.store.conftest import A_WORKSPACE, Stage

_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
_SOURCE = "SELECT id FROM connections WHERE workspace_id = $1"


@pytest.fixture
def models(database: Database) -> Models:
    return Models(database)


@pytest_asyncio.fixture
async def model(stage: Stage, models: Models) -> Model:
    source_id = await stage.database.fetchval(_SOURCE, A_WORKSPACE)
    draft = ModelDraft(source_id, "accounts", {"primaryKey": "id", "sql": "SELECT 1 AS id"}, "SELECT 1 AS id")
    return await models.create(A_WORKSPACE, ModelKind.MODEL, draft, external_id=None)


async def test_model_is_given_as_it_was_made(models: Models, model: Model) -> None:
    assert await models.get(A_WORKSPACE, model.id) == model


async def test_model_of_another_workspace_is_not_there(models: Models, model: Model) -> None:
    with pytest.raises(NotFound):
        await models.get(WorkspaceId("ws_b"), model.id)


async def test_delete_waits_for_a_sync_that_is_being_made_of_the_model(
    stage: Stage, models: Models, model: Model
) -> None:
    async def link() -> None:
        async with stage.database.transaction() as connection:
            inner = Within(connection)
            await Models(inner).hold(A_WORKSPACE, model.id)
            held.set()
            await eventually(lambda: stage.database.fetchval(_WAITING), 1)
            await SyncLinks(inner).save(A_WORKSPACE, stage.sync_id, SyncLink(model_id=model.id))

    async def delete() -> str | None:
        await held.wait()
        with pytest.raises(Conflict) as refused:
            await models.delete(A_WORKSPACE, model.id)
        return refused.value.existing_id

    held = asyncio.Event()
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        tasks.create_task(link())
        deleting = tasks.create_task(delete())

    assert deleting.result() == stage.sync_id


async def test_link_that_is_saved_again_takes_the_place_of_the_first(stage: Stage, database: Database) -> None:
    links = SyncLinks(database)
    await links.save(A_WORKSPACE, stage.sync_id, SyncLink(external_id="mine", said={"cursorColumn": "at"}))
    await links.save(A_WORKSPACE, stage.sync_id, SyncLink(external_id="yours"))

    assert await database.fetchval("SELECT array_agg(external_id) FROM sync_links") == ["yours"]
    assert await links.count(A_WORKSPACE, LinkFilter(has_external_id=True)) == 1
