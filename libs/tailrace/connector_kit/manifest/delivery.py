"""One batch: its keys looked up where the vendor wants that, sent, waited for where it works later, and read."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from urllib.parse import quote

from tailrace.connector_kit.attribution import refusal
from tailrace.connector_kit.manifest.attribution import Job, Keyed
from tailrace.connector_kit.manifest.calls import Answer, Caller, RefusedWith
from tailrace.connector_kit.manifest.encoding import Digits, as_text, dumped
from tailrace.connector_kit.manifest.parts import MISSING, list_at, look_up, read_json, text_at
from tailrace.connector_kit.manifest.questions import JSON, Question
from tailrace.connector_kit.manifest.rendering import Frame, Rendered, body_of, fill, headers_of, path_of
from tailrace.connector_kit.manifest.sent_rows import Sent
from tailrace.connector_kit.manifest.writes import Ask, IdentityKey, LookedUpKey, Write
from tailrace.connector_kit.twins import refuse_twins
from tailrace.core.clock import Clock
from tailrace.core.errors import BatchRefused, DestinationUnavailable, InDoubt, Invalid, Unavailable
from tailrace.core.rows import DELIVERED, Operation, RowOutcome, Verdict, rejected

_LINES = "application/x-ndjson"
_EXISTS = rejected("ALREADY_EXISTS", "there is one with this key already")
AMBIGUOUS = rejected("AMBIGUOUS_KEY", "there are several with this key")
_LONGEST_PATH = 12_000
_MISSING = rejected("NOT_FOUND", "there is none with this key")


@dataclass(frozen=True, slots=True)
class Delivery:
    """How batches of one target are written. A request is never larger than `most_bytes`."""

    caller: Caller
    frame: Frame
    write: Write
    most_bytes: int
    clock: Clock

    async def send(self, rows: Sequence[Rendered]) -> Sequence[RowOutcome]:
        """One outcome for each row.

        :raises BatchRefused: a row is bad, or the request would be too large, or keys of two rows are the same to the
            vendor; nothing was applied.
        :raises TailraceError: what else an answer can mean for a batch.
        """
        key = self.write.key
        if not isinstance(key, LookedUpKey):
            settled = [self._settled(row, is_there=None) for row in rows]
        else:
            ids = await self.ids(key, rows)
            rows = [replace(row, found=next(iter(each), "")) for row, each in zip(rows, ids, strict=True)]
            settled = [
                AMBIGUOUS if len(each) > 1 else self._settled(row, is_there=bool(row.found))
                for row, each in zip(rows, ids, strict=True)
            ]
        left = [row for row, done in zip(rows, settled, strict=True) if done is None]
        written = iter(await self._written(left) if left else ())
        return [next(written) if done is None else done for done in settled]

    async def ids(self, key: LookedUpKey, rows: Sequence[Rendered]) -> Sequence[Collection[str]]:
        """The vendor's own ids of each row, none of one that is not there.

        :raises BatchRefused: keys of two rows are the same to the vendor.
        :raises TailraceError: the question is not answered; nothing was applied.
        """
        found = await self._found(key, rows)
        return [found.get(self._folded(key, row.key), ()) for row in rows]

    async def _found(self, key: LookedUpKey, rows: Sequence[Rendered]) -> Mapping[str, set[str]]:
        """The vendor's own ids by folded key, of those rows that there are."""
        refuse_twins([self._folded(key, row.key) for row in rows])
        try:
            document = (await self._asked(key.ask, rows, self._body(key.ask, rows))).document
        except InDoubt as error:
            raise DestinationUnavailable(f"no answer to the question for ids: {error.message}") from error
        entries = list_at(document, key.each)
        if entries is None:
            raise DestinationUnavailable(f"the answer to the question for ids has no list {key.each!r}")
        _refuse_a_part(key, document, len(rows))
        at = key.key.replace("{key_name}", self.frame.key_name)
        found: dict[str, set[str]] = {}
        for entry in entries:
            found.setdefault(self._folded(key, look_up(entry, at)), set()).add(text_at(entry, key.id))
        return found

    def _folded(self, key: LookedUpKey, value: object) -> str:
        """A key such that it is the same for what the vendor takes for the same: 1 and 1.0 are, as numbers."""
        if isinstance(value, float | Digits):
            return f"{Decimal(str(value)).normalize():f}"
        text = as_text("" if value is MISSING else value)
        return text.strip().lower() if key.fold == "lower" and self.frame.key_name not in key.exact else text

    def _settled(self, row: Rendered, *, is_there: bool | None) -> RowOutcome | None:
        """What is decided without sending: by a look-up of the keys, if there was one, or by the row's own values."""
        match self.frame.target.operation, is_there:
            case Operation.DELETE, False:
                return DELIVERED
            case Operation.UPDATE, False:
                return _MISSING
            case Operation.UPSERT, False if not self._makes_what_is_missing():
                return _MISSING
            case Operation.INSERT, True:
                return _EXISTS
        return self._unfit(row)

    def _unfit(self, row: Rendered) -> RowOutcome | None:
        ask, most = self._ask([row]), self.write.max_row_size
        may_refuse = ask.may_refuse
        if not may_refuse and most is None:
            return None
        try:
            if may_refuse:
                path_of(ask, self.frame, [row])
                headers_of(ask, self.frame, [row])
            size_bytes = len(dumped(fill(ask.row, self.frame, row)))
        except ValueError as error:
            return rejected("NOT_REPRESENTABLE", str(error))
        if most is None or size_bytes <= most.size_bytes:
            return None
        told = f"the row would be {size_bytes} bytes, the destination takes {most.size_bytes}"
        return rejected("ROW_TOO_LARGE", told)

    async def _written(self, rows: Sequence[Rendered]) -> Sequence[RowOutcome]:
        ask = self._ask(rows)
        sent = self._pointed_at(rows)
        body = self._body(ask, rows)
        if len(body) > self.most_bytes:
            return _too_large(len(body), self.most_bytes, rows)
        try:
            return await self._told(await self._asked(ask, rows, body), sent)
        except BatchRefused as refused:
            if len(rows) > 1:
                raise
            return [self._refused(refused)]

    async def _told(self, answer: Answer, sent: Sequence[Sent]) -> Sequence[RowOutcome]:
        """What the answer, or that of the job behind it, says of each row."""
        if not answer.speaks_of_rows:
            return [DELIVERED] * len(sent)
        attribution, document = self.write.attribution, answer.document
        if isinstance(attribution, Job):
            document = await self._finished(attribution, document)
        outcomes = self.write.read.outcomes(document, sent)
        if len(outcomes) != len(sent):
            raise InDoubt(f"the answer speaks of {len(outcomes)} of {len(sent)} rows")
        if answer.refusal is not None and all(outcome.verdict is Verdict.DELIVERED for outcome in outcomes):
            raise answer.refusal
        return outcomes

    def _ask(self, rows: Sequence[Rendered]) -> Ask:
        key = self.write.key
        if isinstance(key, LookedUpKey) and key.create is not None and not rows[0].found:
            return key.create
        return self.write.ask_by(self.frame.key_name)

    async def _asked(self, ask: Ask, rows: Sequence[Rendered], body: bytes) -> Answer:
        rules = self.write.rules if ask is self.write.ask_by(self.frame.key_name) else ()
        media = _LINES if ask.rows_as == "lines" else JSON
        path, headers = path_of(ask, self.frame, rows), headers_of(ask, self.frame, rows)
        if len(path) > _LONGEST_PATH and len(rows) > 1:
            raise BatchRefused(f"the address would be {len(path)} characters: the rows are sent apart")
        asked = Question(ask.method, path, body, media, headers, self.frame.batch_id)
        return await self.caller.request(asked, rules=rules)

    def _body(self, ask: Ask, rows: Sequence[Rendered]) -> bytes:
        return body_of(ask, self.frame, rows) if ask.has_body else b""

    def _makes_what_is_missing(self) -> bool:
        key = self.write.key
        return isinstance(key, LookedUpKey) and key.create is not None

    def _pointed_at(self, rows: Sequence[Rendered]) -> Sequence[Sent]:
        """What the answer can point at; keys that are the same to the vendor must not meet in a request."""
        read = self.write.read
        if not isinstance(read, Keyed):
            return [Sent(as_text(row.key), row.trace) for row in rows]
        if read.names == "found":
            return [Sent(row.found, row.trace) for row in rows]
        sent = [Sent(read.folded(as_text(row.key)), row.trace, self._aliases(read, row)) for row in rows]
        refuse_twins([row.key for row in sent])
        return sent

    def _aliases(self, read: Keyed, row: Rendered) -> frozenset[str]:
        """What the vendor knows the row by besides, where a batch may come again in which two rows have it."""
        if not isinstance(self.write.key, IdentityKey) or not self.write.is_idempotent:
            return frozenset()
        return frozenset(read.folded(as_text(row.fields.get(name))) for name in row.identity) - {""}

    def _refused(self, refused: BatchRefused) -> RowOutcome:
        """What the answer says about the only row of a refused batch."""
        if not isinstance(refused, RefusedWith):
            return rejected("REJECTED", refused.message)
        document = read_json(refused.response.body)
        outcome = self.caller.manifest.refusal.outcome(document)
        if outcome.verdict is not Verdict.REJECTED:
            return outcome
        code = f"HTTP_{refused.response.status}" if outcome.code == "REJECTED" else outcome.code
        return replace(outcome, code=code, message=outcome.message or refusal(refused.response))

    async def _finished(self, job: Job, document: object) -> object:
        """Wait for a job and give the document that says what became of the rows.

        :raises InDoubt: nobody can say.
        """
        job_id = text_at(document, job.id)
        if not job_id:
            raise InDoubt(f"the answer names no job at {job.id!r}")
        try:
            while (state := text_at(document := await self._about(job.get, job_id), job.state)) not in job.done:
                if not state or state in job.failed:
                    raise InDoubt(f"the destination gave the job up: {state or 'it has no state'}")
                await self.clock.sleep(job.every_s)
            return document if job.results is None else await self._about(job.results, job_id)
        except (Unavailable, Invalid) as error:
            raise InDoubt(f"the batch was taken, and what became of it cannot be asked: {error.message}") from error

    async def _about(self, path: str, job_id: str) -> object:
        return await self.caller.ask(path.replace("{id}", quote(job_id, safe="")))


def _refuse_a_part(key: LookedUpKey, document: object, rows: int) -> None:
    """Return if every key that the answer does not have is not there.

    :raises BatchRefused: fewer keys may fit into an answer.
    :raises DestinationUnavailable: nobody knows of some keys whether they are there.
    """
    if key.whole is not None and look_up(document, key.whole) is not True:
        told = "the answer to the question for ids is not whole"
        raise BatchRefused(told) if rows > 1 else DestinationUnavailable(told)
    errors = (list_at(document, key.errors) or ()) if key.errors is not None else ()
    others = {text_at(each, key.code) for each in errors}.difference(key.absent)
    if others:
        raise DestinationUnavailable(f"the question for ids is answered in part: {', '.join(sorted(others))}")


def _too_large(size_bytes: int, most_bytes: int, rows: Sequence[Rendered]) -> Sequence[RowOutcome]:
    told = f"the request would be {size_bytes} bytes, the destination takes {most_bytes}"
    if len(rows) > 1:
        raise BatchRefused(told)
    return [rejected("ROW_TOO_LARGE", told)]
