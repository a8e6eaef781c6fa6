"""The nine ways in which vendors say which rows of a batch failed; every one gives one outcome for each row.

What an answer leaves open is in doubt, never delivered: a list of another length than the batch, a position or a trace
that no row has, a count that does not come out.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field

from tailrace.connector_kit.manifest.addresses import JobPath
from tailrace.connector_kit.manifest.parts import MISSING, Part, Path, list_at, look_up, number_at, text_at
from tailrace.connector_kit.manifest.sent_rows import Sent, by_row, entries_at, place_of
from tailrace.core.errors import BatchRefused, InDoubt
from tailrace.core.rows import DELIVERED, RowOutcome, Verdict, rejected, retry, skipped, unknown

NOT_VERIFIED = RowOutcome(Verdict.DELIVERED, "NOT_VERIFIED")
"""Accepted by a vendor that never says what became of a row."""

Meaning = Literal["delivered", "skipped", "rejected", "retry"]


class Reason(Part):
    """Where an entry says why a row failed, and what some of the vendor's codes mean for the row."""

    code: Path = "code"
    message: Path = "message"
    field: Path | None = None
    meanings: Mapping[str, Meaning] = {}
    renamed: Mapping[str, str] = {}

    def outcome(self, entry: object) -> RowOutcome:
        """The outcome of a row that the entry speaks of."""
        told = text_at(entry, self.code)
        code, message = self.renamed.get(told, told) or "REJECTED", text_at(entry, self.message)
        field = text_at(entry, self.field) if self.field else None
        return _meant(self.meanings.get(told, "rejected"), code, message, field=field or None)


class Attribution(Part, ABC):
    """How an answer is read."""

    reason: Reason = Reason()

    @abstractmethod
    def outcomes(self, document: object, sent: Sequence[Sent]) -> list[RowOutcome]:
        """One outcome for each row, in order.

        :raises InDoubt: the answer does not speak of these rows as it should.
        :raises BatchRefused: some row failed and the answer does not say which.
        """


class Aligned(Attribution):
    """A list of results in the order of the rows; `ok` says which values at `status` are a success.

    With `key`, where a result has the key of its row, they come in any order.
    """

    kind: Literal["aligned"] = "aligned"
    results: Path = ""
    status: Path
    ok: tuple[str, ...] = ("true",)
    key: Path | None = None

    def outcomes(self, document: object, sent: Sequence[Sent]) -> list[RowOutcome]:
        results = list_at(document, self.results)
        if results is None or len(results) != len(sent):
            raise InDoubt(f"the answer has {_count(results)} results for {len(sent)} rows")
        if self.key is None:
            return [self._outcome(entry) for entry in results]
        named = {text_at(entry, self.key): entry for entry in results}
        if named.keys() != {row.key for row in sent}:
            raise InDoubt("the results of the answer are not those of the rows that were sent")
        return [self._outcome(named[row.key]) for row in sent]

    def _outcome(self, entry: object) -> RowOutcome:
        status = look_up(entry, self.status)
        if status is MISSING or status is None:
            raise InDoubt(f"a result of the answer has no {self.status!r}")
        return DELIVERED if text_at(entry, self.status) in self.ok else self.reason.outcome(entry)


class Indexed(Attribution):
    """A list of errors with the row's position; `rest` says what became of the rows that it does not name.

    Where an answer counts the rows that were taken, at `taken_count`, that must come out; one that does not count only
    accepts, and so does any without `is_final`.
    """

    kind: Literal["indexed"] = "indexed"
    errors: Path = "errors"
    index: Path = "index"
    rest: Literal["delivered", "retry"] = "delivered"
    is_final: bool = True
    taken_count: Path | None = None

    def outcomes(self, document: object, sent: Sequence[Sent]) -> list[RowOutcome]:
        entries = entries_at(document, self.errors)
        failed: dict[int, RowOutcome] = {}
        for entry in entries:
            failed.setdefault(place_of(look_up(entry, self.index), sent), self.reason.outcome(entry))
        taken = self._taken(document, len(sent) - len(failed))
        rest = taken if self.rest == "delivered" or not failed else _not_taken()
        return [failed.get(at, rest) for at in range(len(sent))]

    def _taken(self, document: object, rows: int) -> RowOutcome:
        """What became of so many rows that no error names."""
        counted = None if self.taken_count is None else number_at(document, self.taken_count)
        if counted is not None and counted != rows:
            raise InDoubt(f"the answer counts {counted:g} rows that were taken, and names no error of {rows}")
        is_told = self.taken_count is None or counted is not None
        return DELIVERED if self.is_final and is_told else NOT_VERIFIED


class Traced(Attribution):
    """A list of errors, each with the trace ids of its rows; results may carry them too.

    A row is delivered by a result with its trace id. Where results carry none, their number must come out, or every
    row that no error names is in doubt.
    """

    kind: Literal["traced"] = "traced"
    errors: Path = "errors"
    trace: Path
    results: Path = "results"
    result_trace: Path

    def outcomes(self, document: object, sent: Sequence[Sent]) -> list[RowOutcome]:
        failed = self._failed(document, {row.trace for row in sent})
        results = list_at(document, self.results)
        if results is None:
            raise InDoubt(f"the answer has no list {self.results!r}")
        done = {text_at(entry, self.result_trace) for entry in results} - {""}
        is_counted = not done and len(results) + len(failed) == len(sent)
        rest = DELIVERED if is_counted else unknown("the answer does not speak of this row")
        return [failed.get(row.trace) or (DELIVERED if row.trace in done else rest) for row in sent]

    def _failed(self, document: object, traces: set[str]) -> dict[str, RowOutcome]:
        failed: dict[str, RowOutcome] = {}
        for entry in entries_at(document, self.errors):
            told = look_up(entry, self.trace)
            named = [str(each) for each in (told if isinstance(told, list) else [told])]
            if told is MISSING or not named or not traces.issuperset(named):
                raise InDoubt("an error of the answer names no row that was sent")
            for trace in named:
                failed.setdefault(trace, self.reason.outcome(entry))
        return failed


class RejectedKeys(Part):
    """A list of the keys of rows that failed for one reason."""

    at: Path
    code: str = Field(pattern=r"^[A-Z][A-Z0-9_]*$")
    message: str
    means: Meaning = "rejected"


class Keyed(Attribution):
    """Rows named by their key: lists of keys by reason, or a list of errors with the key in each.

    `fold` is what the vendor does with keys before it compares them. `failed_count` is where the answer counts the
    failures, which must come out. With `names` of `found`, the answer names its own ids, which were looked up.
    """

    kind: Literal["keyed"] = "keyed"
    lists: tuple[RejectedKeys, ...] = ()
    errors: Path | None = None
    key: Path = "key"
    fold: Literal["lower", "as_it_is"] = "as_it_is"
    names: Literal["key", "found"] = "key"
    failed_count: Path | None = None

    def outcomes(self, document: object, sent: Sequence[Sent]) -> list[RowOutcome]:
        if not isinstance(document, dict):
            raise InDoubt("the answer is no JSON object")
        failed = by_row(self._named(document), sent)
        counted = None if self.failed_count is None else number_at(document, self.failed_count)
        if self.failed_count is not None and counted != len(failed):
            raise InDoubt(f"the answer counts {counted} failures and names {len(failed)}")
        return [failed.get(row.key, DELIVERED) for row in sent]

    def folded(self, key: str) -> str:
        """A key as the vendor compares it."""
        return key.strip().lower() if self.fold == "lower" else key

    def _named(self, document: object) -> dict[str, RowOutcome]:
        failed: dict[str, RowOutcome] = {}
        for listed in self.lists:
            outcome = _meant(listed.means, listed.code, listed.message)
            for key in entries_at(document, listed.at):
                failed.setdefault(self.folded(str(key)), outcome)
        for entry in entries_at(document, self.errors) if self.errors is not None else ():
            failed.setdefault(self.folded(text_at(entry, self.key)), self.reason.outcome(entry))
        return failed


class FieldIndexes(Attribution):
    """Positions of bad rows by field, `{"email": [0, 4]}`, in one or several objects; nothing was applied."""

    kind: Literal["field_indexes"] = "field_indexes"
    at: tuple[Path, ...] = Field(min_length=1)
    code: str = "INVALID_FIELD"
    message: str = "the destination does not take the value of this field"

    def outcomes(self, document: object, sent: Sequence[Sent]) -> list[RowOutcome]:
        if not isinstance(document, dict):
            raise InDoubt("the answer is no JSON object")
        failed: dict[int, RowOutcome] = {}
        for path in self.at:
            fields = look_up(document, path)
            for name, positions in fields.items() if isinstance(fields, dict) else ():
                for at in positions if isinstance(positions, list) else [positions]:
                    failed.setdefault(place_of(at, sent), rejected(self.code, self.message, field=name))
        rest = _not_taken() if failed else DELIVERED
        return [failed.get(at, rest) for at in range(len(sent))]


class AllOrNothing(Attribution):
    """A success is for every row, a refusal for none.

    Without `is_final` a success only accepts, and so it does with `receipt`, the place where an id has to stand.
    """

    kind: Literal["all_or_nothing"] = "all_or_nothing"
    is_final: bool = True
    receipt: Path | None = None

    def outcomes(self, document: object, sent: Sequence[Sent]) -> list[RowOutcome]:
        if self.receipt is not None and not text_at(document, self.receipt):
            raise InDoubt(f"the answer has nothing at {self.receipt!r}")
        return [DELIVERED if self.is_final and self.receipt is None else NOT_VERIFIED] * len(sent)


class Counted(Attribution):
    """Counts alone: without a failure the batch is accepted, and with none that arrived at `got_count` in doubt."""

    kind: Literal["counted"] = "counted"
    failed_count: Path
    got_count: Path | None = None

    def outcomes(self, document: object, sent: Sequence[Sent]) -> list[RowOutcome]:
        failed = number_at(document, self.failed_count)
        if failed is None:
            raise InDoubt(f"the answer has no number at {self.failed_count!r}")
        if failed:
            raise BatchRefused(f"the destination did not take {failed:g} of {len(sent)} rows")
        if self.got_count is not None and not number_at(document, self.got_count):
            raise InDoubt(f"the answer counts no failure, and no row that arrived at {self.got_count!r}")
        return [NOT_VERIFIED] * len(sent)


class Single(Attribution):
    """One row a request: its status decides; `error`, where it stands in a success, is a refusal all the same."""

    kind: Literal["single"] = "single"
    error: Path | None = None

    def outcomes(self, document: object, sent: Sequence[Sent]) -> list[RowOutcome]:
        if self.error is not None and text_at(document, self.error):
            return [self.reason.outcome(document)]
        return [DELIVERED]


Immediate = Annotated[
    Aligned | Indexed | Traced | Keyed | FieldIndexes | AllOrNothing | Counted | Single, Field(discriminator="kind")
]
"""The eight modes in which the answer to the batch says it all."""


class Job(Part):
    """The ninth: the vendor works later. `get` is asked until `state` is in `done`, then `read` reads what came of it.

    `{id}` in the addresses is what stands at `id` in the answer to the batch. Without `results`, the last answer about
    the state is read.
    """

    kind: Literal["job"] = "job"
    id: Path
    get: JobPath
    state: Path
    done: tuple[str, ...] = Field(min_length=1)
    failed: tuple[str, ...] = ()
    results: JobPath | None = None
    read: Immediate
    every_s: float = Field(default=2.0, gt=0, le=60)


AnyAttribution = Annotated[
    Aligned | Indexed | Traced | Keyed | FieldIndexes | AllOrNothing | Counted | Single | Job,
    Field(discriminator="kind"),
]
"""One of the nine modes."""


def _count(results: Sequence[object] | None) -> str:
    return "no" if results is None else str(len(results))


def _not_taken() -> RowOutcome:
    return retry("NOT_TAKEN", "another row of the batch was refused, and this one left out with it")


def _meant(meaning: Meaning, code: str, message: str, *, field: str | None = None) -> RowOutcome:
    match meaning:
        case "delivered":
            return DELIVERED
        case "skipped":
            return skipped(code)
        case "retry":
            return retry(code, message)
    return rejected(code, message, field=field)
