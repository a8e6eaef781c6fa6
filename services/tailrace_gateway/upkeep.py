"""What a gateway does besides answering, again and again; any number of gateways may."""

from collections.abc import Iterator

from tailrace.runtime.rounds import Round, exhausting
from tailrace.store.audit_chain import AuditChain
from tailrace_gateway.stores import Stores

_CHAIN_EVERY_S = 1.0
_PRUNE_EVERY_S = 60.0
# A backlog of either takes many statements, each of them bounded.
_SILENT_S = 300.0


def upkeep(stores: Stores, chain: AuditChain) -> Iterator[Round]:
    """Records of changes go into their chains; remembered answers and previews go when their time is over."""
    yield Round("gateway.chaining", _CHAIN_EVERY_S, chain.extend_all, silent_s=_SILENT_S)
    for name, prune in (("answers", stores.idempotency.prune), ("previews", stores.previews.prune)):
        yield Round(f"gateway.pruning {name}", _PRUNE_EVERY_S, exhausting(prune), silent_s=_SILENT_S)
