"""Deletes remembered answers whose time is over."""

import asyncio

import structlog

from tailrace.core.errors import StoreUnavailable
from tailrace.runtime.health import Health
from tailrace.store.idempotency import Idempotency

BEAT = "key pruning"

_EVERY_S = 60.0
_SILENT_S = 300.0

log = structlog.get_logger(__name__)


async def prune_keys(idempotency: Idempotency, health: Health) -> None:
    """Prune until cancelled; an outage of the store only puts it off."""
    while True:
        health.beat(BEAT, within_s=_SILENT_S)
        try:
            pruned = await idempotency.prune()
        except StoreUnavailable as error:
            log.info("keys.prune_failed", reason=error.message)
        else:
            log.debug("keys.pruned", count=pruned)
        await asyncio.sleep(_EVERY_S)
