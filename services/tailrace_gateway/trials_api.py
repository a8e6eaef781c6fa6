"""Management: what a run would do, and one row sent to see what the destination says."""

from dataclasses import replace
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from tailrace.core.errors import InDoubt, StoreUnavailable
from tailrace.core.rows import Change, Operation, Verdict
from tailrace.core.runs import RunKind
from tailrace.store.database import Connection
from tailrace.store.syncs import Sync
from tailrace.store.tokens import Role
from tailrace_gateway.calls import Answer, AnyCall, Call, Route
from tailrace_gateway.calls import Change as Deed
from tailrace_gateway.envelopes import Count, Item, One, Told
from tailrace_gateway.models import Body, NoQuery
from tailrace_gateway.planning import Plan, PlanRequest, Sample, make_plan
from tailrace_gateway.problems import Fault, Unprocessable
from tailrace_gateway.recording import in_transaction
from tailrace_gateway.repeats import once_outside
from tailrace_gateway.row_tests import may_double, send_row
from tailrace_gateway.rows_api import KeyText, row_key
from tailrace_gateway.wire import item, one

_SYNC = "/api/syncs/{sync_id}"
_ROWS_MOST = 1_000_000


class PlanRun(Body):
    """Which run to plan: how many rows to read at most, and how many of each change to show.

    With `dryRun` the destination tries the rows that are shown and applies none; for those that can (`dry_run` among
    the capabilities of a connector).
    """

    full_refresh: bool = False
    dry_run: bool = False
    max_rows: Annotated[int, Field(ge=1, le=_ROWS_MOST)] = 100_000
    samples: Annotated[int, Field(ge=0, le=20)] = 5


class TestRow(Body):
    """Which row to send. It is a real write, so `confirmWrite` must be true."""

    key: KeyText
    confirm_write: bool = False
    may_double: bool = False


class PlanSample(Told):
    """A row as it would be sent; null `fields` cannot be shown, a null `operation` sends nothing.

    `verdict` is what the destination says of it in a dry run.
    """

    change: Change | None
    operation: Operation | None
    fields: dict[str, Any] | None
    code: str | None
    message: str | None
    verdict: Verdict | None


class PlanChanges(Told):
    """What happened to the rows since they were delivered; `invalid` ones have no usable key or value."""

    added: Count
    changed: Count
    removed: Count
    unchanged: Count
    invalid: Count


class PlanDeletes(Told):
    """Rows to delete because they left the query, and how many the guard lets one run delete."""

    rows: Count
    allowed: Count
    stopped_by_guard: bool


class PlanAttributes(Told):
    """What a run would do. `complete` is false where rows were left unread, by the limit of rows or of time."""

    sync_version: Count
    kind: RunKind
    complete: bool
    stopped_by: Literal["rows", "time"] | None
    read: Count
    changes: PlanChanges
    sends: dict[Operation, Count]
    requests: Count
    reasons: dict[str, Count]
    deletes: PlanDeletes | None
    samples: list[PlanSample]


class RowTestAttributes(Told):
    """What the destination said of the row, with null `fields` if unreadable; without `real_write` nothing was sent."""

    key: dict[str, str]
    real_write: bool
    operation: Operation
    verdict: Verdict
    code: str | None
    message: str | None
    field: str | None
    fields: dict[str, Any] | None
    notes: list[str]


PlannedRun: TypeAlias = Item[Literal["run_plan"], PlanAttributes]
RowTested: TypeAlias = Item[Literal["row_test"], RowTestAttributes]


async def plan_run(call: Call[PlanRun, NoQuery]) -> Answer:
    """What a run that starts now would send: counts by change, and sample rows. Nothing is written.

    The source is read for 20 seconds at most; what rows held before is not kept, so that samples show only the new.
    """
    sync, body = await call.sync(), call.body
    kind = RunKind.FULL if body.full_refresh or sync.definition.resend else RunKind.INCREMENTAL
    request = PlanRequest(kind, body.max_rows, body.samples, body.dry_run)

    async def act() -> Answer:
        plan = await make_plan(call.stores, sync, request)
        return Answer(one(item("run_plan", sync.id, _plan(plan))))

    return await once_outside(call, act)


async def test_row(call: Call[TestRow, NoQuery]) -> Answer:
    """Send one row of the query to the destination, now and for real, in the mode of the sync; tell its outcome.

    Runs do not know of it: the next one sends the row again. A sync that deletes deletes it.
    """
    sync, body = await call.sync(), call.body
    _require_consent(sync, body)
    key = row_key(sync.definition, body.key)

    async def act() -> Answer:
        tested = await send_row(call.stores, sync, key)
        outcome = tested.outcome
        attributes = {
            "key": dict(zip(sync.definition.key_columns, key, strict=True)),
            "real_write": tested.was_sent,
            "operation": tested.operation,
            "verdict": outcome.verdict,
            "code": outcome.code or None,
            "message": outcome.message or None,
            "field": outcome.field,
            "fields": tested.fields,
            "notes": _notes(was_sent=tested.was_sent),
        }
        told = {"key": list(key), "operation": tested.operation, "verdict": outcome.verdict}
        answer = Answer(one(item("row_test", sync.id, attributes)), change=Deed(sync.id, None, told))
        return await _recorded(call, answer) if tested.was_sent else replace(answer, change=None)

    return await once_outside(call, act)


async def _recorded(call: AnyCall, answer: Answer) -> Answer:
    async def act(_: Connection) -> Answer:
        return answer

    try:
        return await in_transaction(call, act)
    except StoreUnavailable as error:
        told = "the row was sent, and the state store does not answer to record it: sent again it is written again"
        raise InDoubt(told) from error


TRIALS = (
    Route(
        "POST",
        f"{_SYNC}/plan",
        Role.EDITOR,
        plan_run,
        "Plan a run",
        operation_id="planRun",
        answer=One[PlannedRun],
        body=PlanRun,
        errors=(424,),
        is_body_optional=True,
    ),
    Route(
        "POST",
        f"{_SYNC}/test-row",
        Role.EDITOR,
        test_row,
        "Send one row to see its outcome",
        operation_id="testRow",
        answer=One[RowTested],
        body=TestRow,
        errors=(409, 424, 429),
    ),
)


def _require_consent(sync: Sync, body: TestRow) -> None:
    if not body.confirm_write:
        detail = "this writes to the destination: say that you mean it by true"
        raise Unprocessable([Fault("/confirmWrite", "consent", detail)])
    if may_double(sync.definition.sync_mode) and not body.may_double:
        detail = "the next run sends the row again, and this mode may then make it twice: accept that by true"
        raise Unprocessable([Fault("/mayDouble", "consent", detail)])


def _notes(*, was_sent: bool) -> list[str]:
    if not was_sent:
        return ["Nothing was sent: a run would refuse this row too, and keep it as a dead letter."]
    return ["This was a real write.", "Runs do not know of it: the next run sends this row again."]


def _plan(plan: Plan) -> dict[str, Any]:
    return {
        "sync_version": plan.sync.version,
        "kind": plan.request.kind,
        "complete": plan.stopped_by is None,
        "stopped_by": plan.stopped_by,
        "read": plan.read,
        "changes": {name: plan.changes[name] for name in PlanChanges.model_fields},
        "sends": {str(name): count for name, count in plan.sends.items() if count},
        "requests": plan.requests,
        "reasons": dict(sorted(plan.reasons.items())),
        "deletes": _deletes(plan),
        "samples": [_sample(each) for each in plan.samples],
    }


def _deletes(plan: Plan) -> dict[str, Any] | None:
    allowed, rows = plan.deletes_allowed, plan.sends[Operation.DELETE]
    return None if allowed is None else {"rows": rows, "allowed": allowed, "stopped_by_guard": rows > allowed}


def _sample(sample: Sample) -> dict[str, Any]:
    return {
        "change": sample.change,
        "operation": sample.operation,
        "fields": sample.fields,
        "code": sample.code,
        "message": sample.message,
        "verdict": sample.verdict,
    }
