"""Dead letters on their way in: sealed, and sent in a few arguments however many they are.

A driver that is given an array looks at each of its values several times, which took longer than to make the letter.
So the texts of a column are one text, with a mark between them that nobody can know before, and payloads are one string
of bytes with the places where each begins.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import orjson

from tailrace.core.ids import DeadLetterId, RunId, SyncId, WorkspaceId, new_dead_letter_ids
from tailrace.core.settlements import DedupeKey, NewDeadLetter, payload_binding
from tailrace.store.database import Connection
from tailrace.store.secrets import SecretBox

PAYLOAD_LIMIT_BYTES = 1 << 20
MESSAGE_LIMIT = 2000

_LETTERS_PER_STATEMENT = 1000  # a statement has seconds, however many rows were refused
_MARK_BYTES = 8
_COLUMNS = (
    *("id", "dedupe_key", "row_key", "operation", "row_hash", "error_code", "message", "record_keys"),
    *("begins", "size"),
)
_FIRST_COLUMN = 7
_SPLIT = ", ".join(f"string_to_array(${at}, $4, '')" for at, _ in enumerate(_COLUMNS, start=_FIRST_COLUMN))
# A letter that is there already has an id of its own: only of these the answer tells.
_ADD = f"""
WITH written AS (
  INSERT INTO dead_letters AS known (id, workspace_id, sync_id, run_id, dedupe_key, row_key, operation, row_hash,
    error_code, message, record_keys, payload, payload_truncated)
  SELECT id, $1, $2, $3, decode(dedupe_key, 'hex'), (string_to_array(row_key, $5))[2:], operation,
    decode(row_hash, 'hex'), error_code, coalesce(message, ''), record_keys::jsonb,
    substr($6::bytea, begins::int, size::int), size IS NULL
  FROM unnest({_SPLIT}) AS fresh ({", ".join(_COLUMNS)})
  ON CONFLICT (sync_id, dedupe_key, operation) WHERE state IN ('open', 'replaying') DO UPDATE SET
    run_id = excluded.run_id, row_hash = excluded.row_hash, error_code = excluded.error_code,
    message = excluded.message, record_keys = excluded.record_keys, payload = excluded.payload,
    payload_truncated = excluded.payload_truncated, attempts = known.attempts + 1,
    last_seen_at = clock_timestamp(), state = 'open', replay_run_id = NULL
  RETURNING id, dedupe_key, attempts)
SELECT id, dedupe_key FROM written WHERE attempts > 1
"""  # noqa: S608 - names and numbers of our own


@dataclass(frozen=True, slots=True)
class Origin:
    """Where letters come from."""

    workspace_id: WorkspaceId
    sync_id: SyncId
    run_id: RunId


@dataclass(frozen=True, slots=True)
class SealedLetters:
    """Letters as one statement writes them; each has an id, which it gets where the row has no open letter yet."""

    ids: Sequence[DeadLetterId]
    names: Sequence[DedupeKey]
    codes: Sequence[str]
    arguments: tuple[object, ...]


def seal_letters(box: SecretBox, origin: Origin, letters: Sequence[NewDeadLetter]) -> list[SealedLetters]:
    """Letters as `add_letters` takes them. Each row comes once."""
    starts = range(0, len(letters), _LETTERS_PER_STATEMENT)
    return [_of_statement(box, origin, letters[at : at + _LETTERS_PER_STATEMENT]) for at in starts]


async def add_letters(connection: Connection, letters: Sequence[SealedLetters]) -> dict[DeadLetterId, str]:
    """Write letters in the caller's transaction; gives them all, with their codes.

    A row that has an open letter keeps that one, as of now. Where the transaction breaks off they may be written again.
    """
    written: dict[DeadLetterId, str] = {}
    for some in letters:
        rows = await connection.fetch(_ADD, *some.arguments)
        known = {DedupeKey(row["dedupe_key"]): DeadLetterId(row["id"]) for row in rows}
        ids = [known.get(name, fresh) for name, fresh in zip(some.names, some.ids, strict=True)] if known else some.ids
        written |= dict(zip(ids, some.codes, strict=True))
    return written


def _of_statement(box: SecretBox, origin: Origin, letters: Sequence[NewDeadLetter]) -> SealedLetters:
    ids = new_dead_letter_ids(len(letters))
    names = (origin.workspace_id, origin.sync_id, origin.run_id)
    return SealedLetters(
        ids,
        [letter.dedupe_key for letter in letters],
        [letter.error_code for letter in letters],
        (*names, *_arguments(ids, letters, _sealed(box, origin.sync_id, letters))),
    )


def _sealed(box: SecretBox, sync_id: SyncId, letters: Sequence[NewDeadLetter]) -> list[bytes]:
    """The payloads; nothing in place of one that is too large."""
    fitting = [letter for letter in letters if len(letter.payload) <= PAYLOAD_LIMIT_BYTES]
    sealed = box.seal_all(
        [letter.payload for letter in fitting],
        bound_to=[payload_binding(sync_id, letter.dedupe_key) for letter in fitting],
    )
    if len(fitting) == len(letters):
        return sealed
    in_turn = iter(sealed)
    return [next(in_turn) if len(letter.payload) <= PAYLOAD_LIMIT_BYTES else b"" for letter in letters]


def _arguments(
    ids: Sequence[DeadLetterId], letters: Sequence[NewDeadLetter], payloads: Sequence[bytes]
) -> tuple[object, ...]:
    secret = os.urandom(_MARK_BYTES).hex()
    between, before_part = f"\x1f{secret}", f"\x1e{secret}"
    sizes = list(map(len, payloads))
    return (
        *(between, before_part, b"".join(payloads)),
        between.join(ids),
        between.join([letter.dedupe_key.hex() for letter in letters]),
        between.join(["".join([before_part + part for part in letter.row_key or ()]) for letter in letters]),
        between.join([letter.operation for letter in letters]),
        between.join([(letter.row_hash or b"").hex() for letter in letters]),
        _storable(between.join([letter.error_code for letter in letters])),
        _storable(between.join([letter.message[:MESSAGE_LIMIT] for letter in letters])),
        b"\n".join([orjson.dumps(letter.record_keys) for letter in letters]).decode().replace("\n", between),
        between.join(map(str, accumulate(sizes[:-1], initial=1))),
        between.join([str(size) if size else "" for size in sizes]),
    )


def _storable(text: str) -> str:
    """PostgreSQL takes neither NUL nor lone surrogates in text."""
    return text.replace("\0", "").encode(errors="replace").decode()
