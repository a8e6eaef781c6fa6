"""Deletes remembered answers and previews whose time is over."""

import asyncio

import structlog

from tailrace.core.errors import StoreUnavailable
from tailrace.runtime.health import Health
from tailrace.store.idempotency import Idempotency
from tailrace.store.previews import Previews

BEAT = "answer pruning"

_EVERY_S = 60.0
_SILENT_S = 300.0

log = structlog.get_logger(__name__)


async def prune(idempotency: Idempotency, previews: Previews, health: Health) -> None:
    """Prune until cancelled; an outage of the store only puts it off."""
    while True:
        health.beat(BEAT, within_s=_SILENT_S)
        try:
            keys, rows = await idempotency.prune(), await previews.prune()
        except StoreUnavailable as error:
            log.info("answers.prune_failed", reason=error.message)
        else:
            log.debug("answers.pruned", keys=keys, previews=rows)
        await asyncio.sleep(_EVERY_S)
