"""Management: who changed what in the caller's workspace."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from tailrace.store.audit import AuditRecord
from tailrace.store.tokens import Role
from tailrace_gateway.calls import Answer, Call, Route
from tailrace_gateway.envelopes import Item, Page, Seconds, Told
from tailrace_gateway.listings import paged
from tailrace_gateway.models import NoBody
from tailrace_gateway.paging import After, PagedQuery
from tailrace_gateway.wire import Item as Shown
from tailrace_gateway.wire import item, seconds


class AuditQuery(PagedQuery):
    """Which records to list."""


class AuditRecordAttributes(Told):
    """A change. `action` is the id of the operation, `digest` covers this record and all before it."""

    at: Seconds
    actor: str
    address: str
    action: str
    object_id: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


_Record: TypeAlias = Item[Literal["audit_record"], AuditRecordAttributes]


async def list_records(call: Call[NoBody, AuditQuery]) -> Answer:
    """The changes of the workspace, newest first. `tailrace audit verify` tells whether the chain is whole."""

    async def find(*, after: After | None, limit: int) -> Sequence[AuditRecord]:
        before = int(after[1]) if after else None
        return await call.stores.audit.list(call.identity.workspace_id, before=before, limit=limit)

    return Answer(await paged(call, "audit", find, place=lambda each: (each.at, str(each.number)), shown=_shown))


AUDIT = (
    Route(
        "GET",
        "/api/audit",
        Role.ADMIN,
        list_records,
        "List changes",
        operation_id="listAuditRecords",
        answer=Page[_Record],
        query=AuditQuery,
    ),
)


def _shown(record: AuditRecord) -> Shown:
    deed = record.deed
    attributes = {
        "at": seconds(record.at),
        "actor": deed.actor,
        "address": deed.address,
        "action": deed.action,
        "object_id": deed.object_id,
        "before": deed.before,
        "after": deed.after,
        "digest": record.digest.hex(),
    }
    return item("audit_record", str(record.number), attributes)
