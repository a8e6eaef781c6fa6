"""What every destination keeps; a destination's tests inherit `DestinationContract` and give it a `rig`.

The rig's destination holds people: `id` is their key and text, `name` is text, `score` a number with every digit.
"""

import asyncio
import traceback
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

import orjson
import pytest

from tailrace.connector_kit.destination import Destination, Target, WritePlan
from tailrace.core.batches import Batch
from tailrace.core.errors import BatchRefused, CredentialsRefused, DestinationInvalid, DestinationUnavailable, InDoubt
from tailrace.core.rows import DELIVERED, Operation, Row, RowKey, RowOutcome, Verdict
from tailrace.core.snapshots import hash_row
from tailrace.testing.eventually import eventually

FIELDS = ("id", "name", "score")
HOSTILE_NAMES = (
    "",
    " ",
    ".",
    "..",
    "../people",
    "people; DROP TABLE people; --",
    'people"; DROP TABLE people; --',
    "people'--",
    "people\x00",
    "people\r\nX-Injected: yes",
    "people%00",
    "people?x=1#y",
    "http://127.0.0.1/",
    "__proto__",
    "{object}",
    "${jndi:ldap://x}",
    "{{7*7}}",
    "\u202epeople",
    "p" * 300,
)

Person = Mapping[str, str | None]
"""A person as the destination holds it; `score` as the text of its number."""


class DestinationRig(ABC):
    """A destination under test, and a look behind it."""

    destination: Destination
    object_name: str
    secret: str
    """A word that is in its settings and must be nowhere else."""

    @abstractmethod
    async def people(self) -> Mapping[str, Person]:
        """The people whom the destination holds, by id."""

    @abstractmethod
    async def refuse(self, name: str) -> None:
        """Make the destination refuse every person of that name."""

    @abstractmethod
    def stalled(self) -> AbstractAsyncContextManager[None]:
        """Let no write come to its end while the scope lasts."""

    @abstractmethod
    async def writes_open(self) -> int:
        """How many writes the destination works at."""

    @abstractmethod
    async def connections_open(self) -> int:
        """How many connections it has from us."""

    @abstractmethod
    def another(self) -> AbstractAsyncContextManager[Destination]:
        """The same destination, opened once more on its own."""

    @abstractmethod
    async def break_off(self) -> None:
        """Break every connection that has a write in it."""

    @abstractmethod
    def unreachable(self) -> AbstractAsyncContextManager[Destination]:
        """The same settings, but nobody answers there."""

    @abstractmethod
    def unauthorized(self) -> AbstractAsyncContextManager[Destination]:
        """The same settings, but the destination knows better."""

    async def plan(self, operation: Operation) -> WritePlan:
        """A plan for people."""
        return await self.destination.plan(Target(self.object_name, operation, ("id",), FIELDS))


class DestinationContract:
    """The promises of `tailrace.connector_kit.destination`, each as a test."""

    async def test_check_passes_and_writes_nothing(self, rig: DestinationRig) -> None:
        await rig.destination.check()

        assert await rig.people() == {}

    async def test_object_is_among_those_offered(self, rig: DestinationRig) -> None:
        offered = {found.name: found for found in await rig.destination.objects()}

        assert offered[rig.object_name].writable

    async def test_plan_has_limits(self, rig: DestinationRig) -> None:
        plan = await rig.plan(Operation.UPSERT)

        assert plan.rows_per_batch >= 1
        assert plan.bytes_per_batch >= 1024

    async def test_upsert_adds_people_and_replaces_them(self, rig: DestinationRig) -> None:
        first = await write(rig, Operation.UPSERT, person("1", "Ada"), person("2", "Bob"))
        second = await write(rig, Operation.UPSERT, person("2", "Eve"), person("3", "Joe"))

        assert first == second == [DELIVERED, DELIVERED]
        assert names(await rig.people()) == {"1": "Ada", "2": "Eve", "3": "Joe"}

    async def test_the_same_upsert_twice_is_the_same_as_once(self, rig: DestinationRig) -> None:
        plan, batch = await rig.plan(Operation.UPSERT), batch_of(Operation.UPSERT, person("1", "Ada"))
        await rig.destination.write(plan, batch)
        held = await rig.people()

        again = await rig.destination.write(plan, batch)

        assert plan.is_idempotent
        assert again.outcomes == [DELIVERED]
        assert await rig.people() == held

    async def test_insert_of_a_key_that_exists_is_rejected_and_the_others_go(self, rig: DestinationRig) -> None:
        await write(rig, Operation.INSERT, person("2", "Bob"))

        outcomes = await write(rig, Operation.INSERT, person("1", "Ada"), person("2", "Eve"), person("3", "Joe"))

        assert verdicts(outcomes) == [Verdict.DELIVERED, Verdict.REJECTED, Verdict.DELIVERED]
        assert names(await rig.people()) == {"1": "Ada", "2": "Bob", "3": "Joe"}

    async def test_update_of_a_row_that_is_not_there_is_rejected_and_the_others_go(self, rig: DestinationRig) -> None:
        await write(rig, Operation.UPSERT, person("1", "Ada"), person("3", "Joe"))

        outcomes = await write(rig, Operation.UPDATE, person("1", "A"), person("2", "B"), person("3", "J"))

        assert verdicts(outcomes) == [Verdict.DELIVERED, Verdict.REJECTED, Verdict.DELIVERED]
        assert outcomes[1].code == "NOT_FOUND"
        assert names(await rig.people()) == {"1": "A", "3": "J"}

    async def test_delete_removes_people_and_does_not_mind_who_is_gone(self, rig: DestinationRig) -> None:
        await write(rig, Operation.UPSERT, person("1", "Ada"), person("2", "Bob"), person("3", "Joe"))

        outcomes = await write(rig, Operation.DELETE, person("1", "Ada"), person("9", "Nobody"), person("3", "Joe"))

        assert outcomes == [DELIVERED] * 3
        assert names(await rig.people()) == {"2": "Bob"}

    async def test_values_arrive_exactly(self, rig: DestinationRig) -> None:
        name = "é\u2028\"'\\/\t\n \U0001f600 </script> $1 %s {object}"
        score = "-12345678901234567890.12345678901234567890"
        body = orjson.dumps({"id": " a'\"; --", "name": name})[:-1] + f',"score":{score}}}'.encode()

        await write(rig, Operation.UPSERT, body)

        assert await rig.people() == {" a'\"; --": {"id": " a'\"; --", "name": name, "score": score}}

    async def test_null_and_empty_text_stay_apart(self, rig: DestinationRig) -> None:
        await write(rig, Operation.UPSERT, person("1", None), person("2", ""))

        assert names(await rig.people()) == {"1": None, "2": ""}

    async def test_null_replaces_a_value(self, rig: DestinationRig) -> None:
        await write(rig, Operation.UPSERT, person("1", "Ada", score="1.50"))

        await write(rig, Operation.UPSERT, person("1", "Ada", score=None))

        assert (await rig.people())["1"]["score"] is None

    async def test_full_batch_is_taken(self, rig: DestinationRig) -> None:
        plan = await rig.plan(Operation.UPSERT)
        count = min(plan.rows_per_batch, 1000)

        outcomes = await write(rig, Operation.UPSERT, *(person(str(n), f"name {n}") for n in range(count)))

        assert outcomes == [DELIVERED] * count
        assert len(await rig.people()) == count

    async def test_largest_row_that_the_plan_allows_is_taken(self, rig: DestinationRig) -> None:
        plan = await rig.plan(Operation.UPSERT)
        frame = len(person("1", ""))

        outcomes = await write(rig, Operation.UPSERT, person("1", "x" * (plan.bytes_per_batch - frame)))

        assert outcomes == [DELIVERED]

    async def test_one_bad_row_is_found_and_the_others_go(self, rig: DestinationRig) -> None:
        await rig.refuse("Mallory")
        people = [person(str(n), "Mallory" if n == 5 else "Ada") for n in range(10)]

        outcomes = await send(rig, Operation.UPSERT, people)

        assert [at for at, outcome in enumerate(outcomes) if outcome.verdict is Verdict.REJECTED] == [5]
        assert verdicts(outcomes).count(Verdict.DELIVERED) == 9
        assert outcomes[5].code
        assert outcomes[5].message
        assert sorted(await rig.people()) == [str(n) for n in range(10) if n != 5]

    async def test_batch_of_bad_rows_leaves_nothing(self, rig: DestinationRig) -> None:
        await rig.refuse("Mallory")

        outcomes = await send(rig, Operation.UPSERT, [person(str(n), "Mallory") for n in range(4)])

        assert verdicts(outcomes) == [Verdict.REJECTED] * 4
        assert await rig.people() == {}

    async def test_writes_may_run_side_by_side(self, rig: DestinationRig) -> None:
        plan = await rig.plan(Operation.UPSERT)
        batches = [batch_of(Operation.UPSERT, *(person(f"{n}-{m}", "x") for m in range(10))) for n in range(20)]

        results = await asyncio.gather(*(rig.destination.write(plan, batch) for batch in batches))

        assert [result.batch for result in results] == batches
        assert len(await rig.people()) == 200

    async def test_cancelled_write_leaves_nothing_open(self, rig: DestinationRig) -> None:
        async with rig.stalled(), asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(write(rig, Operation.UPSERT, person("1", "Ada")))
            await eventually(rig.writes_open, 1)

            writing.cancel()

            await eventually(rig.writes_open, 0)

    async def test_answer_that_is_lost_leaves_the_batch_in_doubt(self, rig: DestinationRig) -> None:
        async with rig.stalled(), asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(failure_of(write(rig, Operation.UPSERT, person("1", "Ada"))))
            await eventually(rig.writes_open, 1)

            await rig.break_off()

        assert isinstance(writing.result(), InDoubt)

    async def test_destination_goes_on_after_a_lost_answer(self, rig: DestinationRig) -> None:
        async with rig.stalled(), asyncio.TaskGroup() as tasks:
            tasks.create_task(failure_of(write(rig, Operation.UPSERT, person("1", "Ada"))))
            await eventually(rig.writes_open, 1)
            await rig.break_off()

        assert await write(rig, Operation.UPSERT, person("1", "Ada")) == [DELIVERED]

    async def test_leaving_closes_every_connection(self, rig: DestinationRig) -> None:
        before = await rig.connections_open()
        async with rig.another() as destination:
            await destination.check()

        await eventually(rig.connections_open, before)

    @pytest.mark.parametrize("name", HOSTILE_NAMES)
    async def test_hostile_object_name_is_refused_or_does_no_harm(self, rig: DestinationRig, name: str) -> None:
        await write(rig, Operation.UPSERT, person("1", "Ada"))

        with pytest.raises(DestinationInvalid, match=rig.object_name):
            await rig.destination.plan(Target(name, Operation.UPSERT, ("id",), FIELDS))

        assert names(await rig.people()) == {"1": "Ada"}

    async def test_fields_of_an_object_that_is_not_there_are_refused(self, rig: DestinationRig) -> None:
        with pytest.raises(DestinationInvalid, match=rig.object_name):
            await rig.destination.fields("nowhere.at_all")

    async def test_destination_that_is_not_there_is_unavailable(self, rig: DestinationRig) -> None:
        with pytest.raises(DestinationUnavailable) as failed:
            await use(rig.unreachable())

        assert rig.secret not in told(failed.value)

    async def test_wrong_credentials_are_refused_without_being_told(self, rig: DestinationRig) -> None:
        with pytest.raises(CredentialsRefused) as refused:
            await use(rig.unauthorized())

        assert rig.secret not in told(refused.value)

    async def test_refused_batch_tells_no_row(self, rig: DestinationRig) -> None:
        await rig.refuse("Mallory-private")

        failure = await failure_of(write(rig, Operation.UPSERT, person("1", "Mallory-private"), person("2", "Ada")))

        assert "Mallory-private" not in told(failure)


def person(id_: str, name: str | None, *, score: str | None = None) -> bytes:
    """The body of a row."""
    return orjson.dumps({"id": id_, "name": name, "score": score and orjson.Fragment(score)})


def batch_of(operation: Operation, *bodies: bytes) -> Batch:
    """A batch of rows with these bodies."""
    rows = [Row(RowKey((str(orjson.loads(body)["id"]),)), body, hash_row(body)) for body in bodies]
    return Batch(operation, rows, "batch-" + hash_row(b"".join(bodies)).hex())


async def write(rig: DestinationRig, operation: Operation, *bodies: bytes) -> Sequence[RowOutcome]:
    """The outcomes of one write."""
    result = await rig.destination.write(await rig.plan(operation), batch_of(operation, *bodies))
    return result.outcomes


async def send(rig: DestinationRig, operation: Operation, bodies: Sequence[bytes]) -> Sequence[RowOutcome]:
    """Write as the engine does: a refused batch is halved, and must have left nothing."""
    before = await rig.people()
    try:
        return await write(rig, operation, *bodies)
    except BatchRefused:
        assert len(bodies) > 1, "a row alone is rejected, not refused"
        assert await rig.people() == before, "a refused batch was applied in part"
    middle = len(bodies) // 2
    return [*await send(rig, operation, bodies[:middle]), *await send(rig, operation, bodies[middle:])]


async def use(opening: AbstractAsyncContextManager[Destination]) -> None:
    """Open a destination and look whether it works."""
    async with opening as destination:
        await destination.check()


async def failure_of(work: Awaitable[object]) -> BaseException | None:
    """What some work raises, as a value."""
    [outcome] = await asyncio.gather(work, return_exceptions=True)
    return outcome if isinstance(outcome, BaseException) else None


def names(people: Mapping[str, Person]) -> Mapping[str, str | None]:
    """Just the names."""
    return {id_: person["name"] for id_, person in people.items()}


def verdicts(outcomes: Sequence[RowOutcome]) -> list[Verdict]:
    """Just the verdicts."""
    return [outcome.verdict for outcome in outcomes]


def told(error: BaseException | None) -> str:
    """Everything that a log would hold of an error."""
    return "" if error is None else "".join(traceback.format_exception(error)) + repr(error)
