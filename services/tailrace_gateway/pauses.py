"""Pausing a sync by its name, where the model that it reads may have paused it too."""

from dataclasses import replace

from tailrace.store.syncs import Sync
from tailrace_gateway.problems import Fault, Unprocessable
from tailrace_gateway.stores import Stores


async def heed_model(stores: Stores, sync: Sync, *, enabled: bool | None) -> None:
    """Have a sync that is paused by name stay so when its model goes on; None asks for nothing.

    :raises Unprocessable: the sync is to go on, and its model is off.
    """
    if enabled is None:
        return
    _, link = await stores.sync_links.get(sync.workspace_id, sync.id)
    if link.model_id is None:
        return
    if not enabled:
        await stores.sync_links.save(sync.workspace_id, sync.id, replace(link, paused_with_model=False))
    elif not (await stores.models.hold(sync.workspace_id, link.model_id)).enabled:
        detail = f"this sync reads a model that is switched off: PUT /v2/retl-sources/{link.model_id} first"
        raise Unprocessable([Fault("/enabled", "model", detail)])
