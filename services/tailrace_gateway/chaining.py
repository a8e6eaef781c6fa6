"""Puts the records of changes into their chains, soon after the changes."""

import asyncio

import structlog

from tailrace.core.errors import StoreUnavailable
from tailrace.runtime.health import Health
from tailrace.store.audit_chain import AuditChain

BEAT = "audit chaining"

_EVERY_S = 1.0
_SILENT_S = 120.0

log = structlog.get_logger(__name__)


async def extend_chains(chain: AuditChain, health: Health) -> None:
    """Extend the chains until cancelled; several gateways may. An outage of the store only puts it off."""
    while True:
        health.beat(BEAT, within_s=_SILENT_S)
        try:
            await chain.extend_all()
        except StoreUnavailable as error:
            log.info("audit.extension_failed", reason=error.message)
        await asyncio.sleep(_EVERY_S)
