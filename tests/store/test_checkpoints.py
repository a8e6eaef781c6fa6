"""The checkpoint transaction: all of it, once."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from tailrace.core.errors import LeaseLost, StoreUnavailable
from tailrace.core.ids import DeadLetterId
from tailrace.core.outgoing import OutgoingEvent
from tailrace.core.rows import Operation, RowHash, RowKey
from tailrace.core.runs import Books
from tailrace.core.settlements import NewDeadLetter, Position, Settlement, dedupe_key, payload_binding
from tailrace.core.snapshots import Entry
from tailrace.store.checkpoints import Checkpoints, Place, position_of
from tailrace.store.runs import Runs
from tailrace.store.secrets import SecretBox
from tailrace.store.shards import Shards
from tailrace.store.snapshots import Snapshots
from tests.store.conftest import A_WORKSPACE, Stage, an_event, write

BOX = SecretBox([bytes(32)])
KEY = RowKey(("cust-7",))
HASH = RowHash(b"8 bytes.")
LETTER = NewDeadLetter(
    dedupe_key=dedupe_key(KEY),
    row_key=KEY,
    operation=Operation.UPSERT,
    error_code="DESTINATION_VALIDATION",
    message="bad \0 email",
    record_keys={"id": "cust-7"},
    payload=b'{"id":"cust-7"}',
    row_hash=HASH,
)
SETTLEMENT = Settlement(
    position=Position(KEY, 0),
    books=Books(read=3, delivered=1, skipped=1, rejected=1, reasons={"rejected.DESTINATION_VALIDATION": 1}),
    letters=[LETTER],
    entries=[Entry(RowKey(("cust-6",)), delivered=HASH), Entry(KEY, dead=HASH)],
)


def tell(seq: int, letters: Mapping[DeadLetterId, str]) -> list[OutgoingEvent]:
    return [replace(an_event(f"seq-{seq}"), data=",".join(letters.values()).encode())]


async def claimed(stage: Stage) -> Place:
    await stage.start_run()
    claim = await Shards(stage.database).claim(owner="pod", ttl_s=30, grace_s=5)
    assert claim is not None
    return Place(claim.lease, A_WORKSPACE, stage.sync_id, claim.checkpoint_seq, ttl_s=30)


async def test_a_checkpoint_writes_position_books_letters_snapshot_and_events_together(stage: Stage) -> None:
    place = await claimed(stage)

    await write(Checkpoints(stage.database, BOX), place, SETTLEMENT, tell)

    shard = await stage.database.fetchrow("SELECT * FROM run_shards")
    letter = await stage.database.fetchrow("SELECT * FROM dead_letters")
    event = await stage.database.fetchrow("SELECT * FROM outbox WHERE key = 'seq-1'")
    assert shard is not None
    assert letter is not None
    assert event is not None
    assert position_of(shard["checkpoint"]) == SETTLEMENT.position
    assert (await Runs(stage.database).get(A_WORKSPACE, place.lease.run_id)).books == SETTLEMENT.books
    assert (letter["message"], letter["row_key"], letter["attempts"]) == ("bad  email", ["cust-7"], 1)
    assert BOX.open(letter["payload"], bound_to=payload_binding(stage.sync_id, LETTER.dedupe_key)) == LETTER.payload
    assert event["body"].endswith(b"DESTINATION_VALIDATION")
    assert await Snapshots(stage.database).size(stage.sync_id) == 2


async def test_a_checkpoint_whose_answer_got_lost_is_written_once(stage: Stage) -> None:
    place = await claimed(stage)
    checkpoints = Checkpoints(stage.database, BOX)

    await write(checkpoints, place, SETTLEMENT, tell)
    await write(checkpoints, place, SETTLEMENT, tell)

    assert (await Runs(stage.database).get(A_WORKSPACE, place.lease.run_id)).books == SETTLEMENT.books
    assert await stage.database.fetchval("SELECT attempts FROM dead_letters") == 1
    assert await stage.database.fetchval("SELECT count(*) FROM outbox WHERE key LIKE 'seq-%'") == 1


async def test_a_checkpoint_that_broke_off_is_written_as_it_was_prepared(stage: Stage) -> None:
    place = await claimed(stage)
    checkpoints = Checkpoints(stage.database, BOX)
    prepared = checkpoints.prepare(place.origin, SETTLEMENT)
    told: list[DeadLetterId] = []

    def breaks_off(_seq: int, _letters: Mapping[DeadLetterId, str]) -> list[OutgoingEvent]:
        raise ConnectionResetError

    def hears(_seq: int, letters: Mapping[DeadLetterId, str]) -> list[OutgoingEvent]:
        told.extend(letters)
        return []

    with pytest.raises(StoreUnavailable):
        await checkpoints.commit(place, prepared, breaks_off)
    await checkpoints.commit(place, prepared, hears)

    rows = await stage.database.fetch("SELECT id, attempts FROM dead_letters")
    assert [(row["id"], row["attempts"]) for row in rows] == [(id_, 1) for id_ in told]
    assert len(told) == 1


async def test_books_and_reasons_add_up_over_checkpoints(stage: Stage) -> None:
    place = await claimed(stage)
    checkpoints = Checkpoints(stage.database, BOX)
    second = replace(SETTLEMENT, letters=[], entries=[])

    await write(checkpoints, place, SETTLEMENT, tell)
    await write(checkpoints, replace(place, seq=1, reasons=SETTLEMENT.books.reasons), second, tell)

    assert (await Runs(stage.database).get(A_WORKSPACE, place.lease.run_id)).books == second.books + second.books


async def test_an_executor_that_was_overtaken_writes_nothing(stage: Stage) -> None:
    place = await claimed(stage)
    await stage.database.execute("UPDATE run_shards SET lease_expires_at = clock_timestamp() - interval '1 hour'")
    shards = Shards(stage.database)
    assert await shards.claim(owner="other", ttl_s=30, grace_s=5, silent=await shards.sighted()) is not None

    with pytest.raises(LeaseLost):
        await write(Checkpoints(stage.database, BOX), place, SETTLEMENT, tell)

    assert await stage.database.fetchval("SELECT count(*) FROM dead_letters") == 0
    assert await stage.database.fetchval("SELECT rows_read FROM run_shards") == 0


async def test_a_row_that_fails_again_keeps_its_letter_and_counts_the_attempt(stage: Stage) -> None:
    place = await claimed(stage)
    checkpoints = Checkpoints(stage.database, BOX)
    again = replace(SETTLEMENT, entries=[], letters=[LETTER._replace(error_code="RATE_LIMIT", payload=b"{}")])

    await write(checkpoints, place, SETTLEMENT, tell)
    await write(checkpoints, replace(place, seq=1), again, tell)

    letter = await stage.database.fetchrow("SELECT * FROM dead_letters")
    assert letter is not None
    assert (letter["attempts"], letter["error_code"]) == (2, "RATE_LIMIT")
    assert BOX.open(letter["payload"], bound_to=payload_binding(stage.sync_id, LETTER.dedupe_key)) == b"{}"


async def test_a_letter_is_cleared_once_its_row_was_delivered(stage: Stage) -> None:
    place = await claimed(stage)
    checkpoints = Checkpoints(stage.database, BOX)
    cleared = Settlement(Position(), Books(), cleared=[LETTER.dedupe_key])

    await write(checkpoints, place, SETTLEMENT, tell)
    await write(checkpoints, replace(place, seq=1), cleared, tell)

    letter = await stage.database.fetchrow("SELECT * FROM dead_letters")
    assert letter is not None
    assert (letter["state"], letter["resolution"]) == ("resolved", "superseded")


async def test_a_payload_beyond_the_limit_is_left_out_and_said_to_be(stage: Stage) -> None:
    place = await claimed(stage)
    huge = replace(SETTLEMENT, letters=[LETTER._replace(payload=bytes(2 << 20))])

    await write(Checkpoints(stage.database, BOX), place, huge, tell)

    letter = await stage.database.fetchrow("SELECT * FROM dead_letters")
    assert letter is not None
    assert (letter["payload"], letter["payload_truncated"]) == (None, True)
