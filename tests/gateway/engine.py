"""What an executor would do to a run, by hand."""

from dataclasses import dataclass

import orjson

from tailrace.core.ids import new_dead_letter_ids
from tailrace.store.database import Database

_BEGIN = "UPDATE runs SET status = 'running', started_at = clock_timestamp() WHERE id = $1"
_SET_STARTED = "UPDATE runs SET queued_at = $2::text::timestamptz, started_at = $2::text::timestamptz WHERE id = $1"
_COUNT = """
UPDATE run_shards SET rows_read = $2, rows_delivered = $3, rows_skipped = $4, rows_rejected = $5,
  reasons = $6::text::jsonb, state = 'done' WHERE run_id = $1
"""
_END = """
UPDATE runs SET status = $2, finished_at = clock_timestamp(), error_code = $3, error_message = $4 WHERE id = $1
"""
_BURY = """
INSERT INTO dead_letters (id, workspace_id, sync_id, run_id, dedupe_key, row_key, operation, error_code, message,
  record_keys, attempts)
SELECT $2, workspace_id, sync_id, id, convert_to($3, 'UTF8'), ARRAY[$3], 'upsert', $4,
  'INVALID_EMAIL: bad format for field Email', $5::text::jsonb, 5 FROM runs WHERE id = $1
"""


@dataclass(frozen=True, slots=True)
class Engine:
    """Moves runs through their states without an executor."""

    database: Database

    async def begin(self, run_id: str, *, at: str | None = None) -> None:
        """The run is under way, since `at` if that is given."""
        await self.database.execute(_BEGIN, run_id)
        if at is not None:
            await self.database.execute(_SET_STARTED, run_id, at)

    async def count(self, run_id: str, books: tuple[int, int, int, int], **reasons: int) -> None:
        """Its books: read, delivered, skipped, rejected. Reasons use `__` for the dot."""
        named = {name.replace("__", "."): count for name, count in reasons.items()}
        await self.database.execute(_COUNT, run_id, *books, orjson.dumps(named).decode())

    async def end(self, run_id: str, status: str, *, code: str | None = None, message: str | None = None) -> None:
        """The run is over."""
        await self.database.execute(_END, run_id, status, code, message)

    async def bury(self, run_id: str, key: str, *, code: str = "DESTINATION_VALIDATION") -> str:
        """A dead letter of the run, as in the contract's example; gives its id."""
        [letter_id] = new_dead_letter_ids(1)
        keys = orjson.dumps({"External_Id__c": key}).decode()
        await self.database.execute(_BURY, run_id, letter_id, key, code, keys)
        return letter_id
