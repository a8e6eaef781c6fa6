"""Letters arrive as they were written, whatever their texts hold and however many there are."""

from collections.abc import Sequence

import pytest

from tailrace.core.rows import Operation, RowHash, RowKey
from tailrace.core.runs import Books
from tailrace.core.settlements import (
    DedupeKey,
    NewDeadLetter,
    Position,
    Settlement,
    dedupe_key,
    dedupe_key_of_content,
)
from tailrace.store.database import Record
from tailrace.store.new_letters import MESSAGE_LIMIT, PAYLOAD_LIMIT_BYTES
from tests.store.conftest import A_WORKSPACE, Stage
from tests.store.letters import Grave

TEXTS = [
    "",
    "NULL",
    "null",
    "{}",
    '{"a",b}',
    'say "no"',
    "back\\slash",
    "two\nlines",
    "\x1f",
    "\x1e\x1f",
    "é 漢 \U0001f600",
    " ",
]
KEYS = [RowKey((text,)) for text in TEXTS] + [RowKey((one, *TEXTS)) for one in TEXTS]
A_FULL_STATEMENT = 1000

_ALL = "SELECT * FROM dead_letters"


@pytest.fixture
def grave(stage: Stage) -> Grave:
    return Grave(stage)


async def test_letters_arrive_as_they_were_written(grave: Grave) -> None:
    letters = [a_letter(key, text) for key in KEYS for text in TEXTS[:2]]

    await settle(grave, letters)

    assert await found(grave) == {letter.dedupe_key: told(letter) for letter in letters}


async def test_letters_without_key_hash_or_payload_stand_among_others(grave: Grave) -> None:
    whole = a_letter(RowKey(("a",)), "no")
    without_key = NewDeadLetter(
        dedupe_key_of_content(b"?", 0), None, Operation.UPSERT, "NULL_KEY", "", {"id": None}, b"?", None
    )
    too_large = NewDeadLetter(
        *(dedupe_key(RowKey(("b",))), RowKey(("b",)), Operation.DELETE, "BAD", "x" * (MESSAGE_LIMIT + 1), {}),
        *(b"x" * (PAYLOAD_LIMIT_BYTES + 1), RowHash(b"hash b b")),
    )
    last = a_letter(RowKey(("c",)), "no")

    await settle(grave, [whole, without_key, too_large, last])

    kept = await found(grave)
    assert kept[whole.dedupe_key] == told(whole)
    assert kept[last.dedupe_key] == told(last)
    assert kept[without_key.dedupe_key] == (None, "upsert", None, "NULL_KEY", "", {"id": None}, b"?")
    assert kept[too_large.dedupe_key] == (["b"], "delete", b"hash b b", "BAD", "x" * MESSAGE_LIMIT, {}, None)


@pytest.mark.parametrize("more", [0, 1])
async def test_no_letter_is_lost_between_statements(grave: Grave, more: int) -> None:
    letters = [a_letter(RowKey((str(number),)), "no") for number in range(A_FULL_STATEMENT + more)]

    await settle(grave, letters)
    await settle(grave, letters[-2:])

    rows = await grave.database.fetch("SELECT id, dedupe_key, attempts FROM dead_letters")
    assert {row["dedupe_key"] for row in rows} == {letter.dedupe_key for letter in letters}
    assert set(grave.told[:-2]) == {row["id"] for row in rows}
    assert {row["id"] for row in rows if row["attempts"] > 1} == set(grave.told[-2:])


def a_letter(key: RowKey, text: str) -> NewDeadLetter:
    keys = dict(zip("abcdefghijklmnop", key, strict=False))
    return NewDeadLetter(
        *(dedupe_key(RowKey((*key, text))), key, Operation.UPSERT, "BAD", text, keys),
        *(text.encode() * 3 + b"\x00", RowHash(b"8 bytes.")),
    )


async def settle(grave: Grave, letters: Sequence[NewDeadLetter]) -> None:
    await grave.settle(Settlement(Position(), Books(), letters=letters))


def told(letter: NewDeadLetter) -> tuple[object, ...]:
    """What a letter says, as it stands in the store."""
    key = None if letter.row_key is None else list(letter.row_key)
    names = (letter.operation, letter.row_hash, letter.error_code, letter.message, letter.record_keys)
    return (key, *names, letter.payload)


async def found(grave: Grave) -> dict[DedupeKey, tuple[object, ...]]:
    """What all letters say."""
    return {row["dedupe_key"]: await _read(grave, row) for row in await grave.database.fetch(_ALL)}


async def _read(grave: Grave, row: Record) -> tuple[object, ...]:
    said = (row[name] for name in ("row_key", "operation", "row_hash", "error_code", "message", "record_keys"))
    return (*said, await grave.letters.payload(A_WORKSPACE, row["id"]))
