"""Workspaces."""

import pytest

from tailrace.core.errors import NotFound
from tailrace.core.ids import WorkspaceId
from tailrace.store.database import Database
from tailrace.store.workspaces import Workspaces


async def test_workspaces_can_be_read_back_oldest_first(database: Database) -> None:
    workspaces = Workspaces(database)
    first, second = await workspaces.create("first"), await workspaces.create("second")

    assert await workspaces.get(first.id) == first
    assert await workspaces.list() == [first, second]


async def test_unknown_workspace_is_not_found(database: Database) -> None:
    with pytest.raises(NotFound):
        await Workspaces(database).get(WorkspaceId("ws_none"))
