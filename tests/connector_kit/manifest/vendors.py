"""Made-up vendors, each with another habit."""

import re
from collections.abc import Mapping
from datetime import date

from tailrace.connector_kit.destination import Level
from tailrace.connector_kit.manifest.answer_rules import AnswerRule, Then
from tailrace.connector_kit.manifest.attribution import (
    Aligned,
    AllOrNothing,
    AnyAttribution,
    Counted,
    FieldIndexes,
    Indexed,
    Job,
    Keyed,
    Reason,
    RejectedKeys,
    Single,
    Traced,
)
from tailrace.connector_kit.manifest.auth import AnyAuth, Bearer
from tailrace.connector_kit.manifest.encoding import as_text
from tailrace.connector_kit.manifest.limits import RowLimit, SizeLimit
from tailrace.connector_kit.manifest.model import Fields, Hooks, KnownField, KnownObject, Manifest, Objects
from tailrace.connector_kit.manifest.templates import Slot
from tailrace.connector_kit.manifest.writes import Ask, LookedUpKey, NamedKey, PathKey, Write
from tailrace.core.rows import Operation

DOCS = "https://vendor.example/docs"
CHECKED = date(2026, 11, 22)

NINE: dict[str, AnyAttribution] = {
    "aligned": Aligned(results="results", status="success"),
    "indexed": Indexed(index="at.row", reason=Reason(code="why.code", message="why.text", field="why.field")),
    "indexed, and counted": Indexed(taken_count="taken"),
    "indexed, and nothing taken": Indexed(rest="retry"),
    "traced": Traced(trace="context.trace", result_trace="trace"),
    "keyed lists": Keyed(lists=(RejectedKeys(at="failed.bad", code="BAD", message="no"),), failed_count="failed.count"),
    "keyed errors": Keyed(errors="errors", key="email", fold="lower"),
    "field indexes": FieldIndexes(at=("invalid", "missing")),
    "all or nothing": AllOrNothing(),
    "accepted": AllOrNothing(receipt="request.id"),
    "counted": Counted(failed_count="invalid"),
    "counted, both ways": Counted(failed_count="invalid", got_count="got"),
    "single": Single(error="error"),
    "job": Job(id="job.id", get="/jobs/{id}", state="state", done=("done",), failed=("dead",), read=Indexed()),
    "job with results": Job(
        id="id",
        get="/jobs/{id}",
        state="state",
        done=("done",),
        results="/jobs/{id}/failures",
        read=Keyed(errors="rows", key="key"),
    ),
}


def write(attribution: AnyAttribution, **changed: object) -> Write:
    """An operation whose rows that failed are told in this way."""
    one = isinstance(attribution, Single)
    parts: dict[str, object] = {
        "path": "/{object}",
        "rows_at": None if one else "rows",
        "row": {"*": Slot.FIELDS, "trace": Slot.TRACE},
        "key": NamedKey(fields=("id",)),
        "max_rows": RowLimit(at_most="1 rows" if one else "10 rows", source=DOCS, checked=CHECKED),
        "max_size": SizeLimit(at_most="10 kB", source=DOCS, checked=CHECKED),
        "is_idempotent": True,
        "attribution": attribution,
        "rules": (AnswerRule(status=(400,), then=Then.READ),) if isinstance(attribution, FieldIndexes) else (),
    }
    return Write.model_validate(parts | changed)


def vendor(*writes: Write, auth: AnyAuth | None = None, **changed: object) -> Manifest:
    """A vendor with an upsert and, if given, an update, an insert and a delete, in this order."""
    operations = (Operation.UPSERT, Operation.UPDATE, Operation.INSERT, Operation.DELETE)
    parts: dict[str, object] = {
        "name": "vendor",
        "label": "Vendor",
        "level": Level.BRONZE,
        "verified_against": "nothing",
        "docs": DOCS,
        "checked": CHECKED,
        "base_url": "https://vendor.example",
        "auth": auth or Bearer(),
        "check": "/me",
        "objects": Objects(known=(KnownObject(name="people", label="People"),)),
        "operations": dict(zip(operations, writes, strict=False)),
    }
    return Manifest.model_validate(parts | changed)


FOUND = LookedUpKey(
    fields=("id",),
    ask=Ask(path="/search", rows_at="keys", row=Slot.KEY),
    each="found",
    id="own",
    key="by.{key_name}",
)
LOOKED_UP = vendor(
    write(
        NINE["single"], key=FOUND.model_copy(update={"create": Ask(path="/new")}), path="/one/{found}", method="PATCH"
    ),
    write(NINE["aligned"], key=FOUND, row={"*": Slot.OTHERS, "own": Slot.FOUND}),
    write(NINE["aligned"], key=FOUND, path="/many"),
    write(NINE["all or nothing"], key=FOUND, path="/gone", row={"own": Slot.FOUND}),
)


def _as_a_person(fields: Mapping[str, object]) -> Mapping[str, object]:
    if not re.fullmatch(r"[^@]+@[^@]+", as_text(fields["id"])):
        raise ValueError("id: the value is no address")
    return {**fields, "person": {"addresses": [fields["id"]]}}


FIXED_FIELDS = vendor(
    *[write(NINE["all or nothing"], row="$fields.person")] * 4,
    fields=Fields(known=(KnownField(name="id", is_key=True, example="person-{n}@example.com"),)),
    hooks=Hooks(row=_as_a_person),
)
IN_THE_PATH = vendor(
    write(NINE["single"], key=PathKey(fields=("id",)), path="/by/{key_name}/{key}", method="PUT"),
)
