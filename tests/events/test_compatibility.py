import pytest

from tests.events.compatibility import Json, breaking_changes


def a_schema(required: tuple[str, ...] = ("id",), **fields: Json) -> Json:
    return {"properties": {"id": {"type": "string", "maxLength": 64}, **fields}, "required": list(required)}


STATUS: Json = {"type": "string", "enum": ["succeeded", "failed"]}
MORE_STATUS: Json = {"type": "string", "enum": ["succeeded", "failed", "cancelled"]}
NULLABLE: Json = {"anyOf": [{"type": "string"}, {"type": "null"}]}


@pytest.mark.parametrize("is_received", [True, False], ids=["received", "sent"])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (a_schema(), a_schema()),
        (a_schema(), a_schema(note={"type": "string"})),
        (a_schema(), a_schema(id={"type": "string", "maxLength": 64, "description": "The id."})),
    ],
    ids=["nothing changed", "optional field added", "words changed"],
)
def test_change_that_breaks_nobody_passes(old: Json, new: Json, is_received: bool) -> None:  # noqa: FBT001 - a parameter
    assert breaking_changes(old, new, is_received=is_received) == []


@pytest.mark.parametrize(
    ("old", "new", "breaks_senders", "breaks_readers"),
    [
        (a_schema(note={"type": "string"}), a_schema(), True, True),
        (a_schema(), a_schema(id={"type": "integer"}), True, True),
        (a_schema(n={"type": "array", "items": {"type": "string"}}), a_schema(n={"type": "array"}), True, True),
        (a_schema(), a_schema(("id", "note"), note={"type": "string"}), True, False),
        (a_schema(), a_schema(()), False, True),
        (a_schema(), a_schema(id={"type": "string", "maxLength": 10}), True, False),
        (a_schema(), a_schema(id={"type": "string", "maxLength": 90}), False, True),
        (a_schema(), a_schema(id={"type": "string"}), False, True),
        (a_schema(status=STATUS), a_schema(status=MORE_STATUS), False, True),
        (a_schema(status=MORE_STATUS), a_schema(status=STATUS), True, False),
        (a_schema(status=STATUS), a_schema(status={"type": "string"}), False, True),
        (a_schema(code=NULLABLE), a_schema(code={"anyOf": [{"type": "string"}]}), True, False),
        (a_schema(code={"anyOf": [{"type": "string"}]}), a_schema(code=NULLABLE), False, True),
    ],
    ids=[
        "field taken away",
        "type changed",
        "items changed",
        "field required",
        "field no longer always there",
        "bound lowered",
        "bound raised",
        "bound removed",
        "value added",
        "value taken away",
        "any value allowed",
        "null forbidden",
        "null allowed",
    ],
)
def test_change_breaks_senders_or_readers(old: Json, new: Json, *, breaks_senders: bool, breaks_readers: bool) -> None:
    assert bool(breaking_changes(old, new, is_received=True)) is breaks_senders
    assert bool(breaking_changes(old, new, is_received=False)) is breaks_readers
