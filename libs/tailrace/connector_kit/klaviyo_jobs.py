"""Import jobs of Klaviyo: submitted, asked about until they are done, and what their errors say of rows.

What Klaviyo's description leaves open ends in halves, down to rows that are sent by themselves: an error that names no
row, counts that do not come out. Imports are upserts, so that to send rows again does no harm.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from urllib.parse import quote

from tailrace.connector_kit.long_jobs import LongJobs
from tailrace.connector_kit.manifest.attribution import Reason
from tailrace.connector_kit.manifest.calls import Caller
from tailrace.connector_kit.manifest.discovery import entries_of
from tailrace.connector_kit.manifest.encoding import as_text, dumped
from tailrace.connector_kit.manifest.limits import RowLimit, SizeLimit
from tailrace.connector_kit.manifest.model import Listing
from tailrace.connector_kit.manifest.parts import number_at, text_at
from tailrace.connector_kit.manifest.questions import Question
from tailrace.connector_kit.manifest.rendering import Frame, Rendered, body_of, fill
from tailrace.connector_kit.manifest.templates import Slot, Template
from tailrace.connector_kit.manifest.writes import Ask
from tailrace.connector_kit.twins import refuse_twins
from tailrace.core.errors import BatchRefused, InDoubt
from tailrace.core.rows import DELIVERED, RowOutcome, rejected

CHECKED = date(2026, 11, 23)
PAGE = "https://developers.klaviyo.com/en/reference/bulk_import_profiles"
ROWS = RowLimit(at_most="10000 rows", source=PAGE, checked=CHECKED)
SIZE = SizeLimit(at_most="5 MB", source=PAGE, checked=CHECKED)
PROFILE_SIZE = SizeLimit(at_most="100 kB", source=PAGE, checked=CHECKED)

PATH = "/api/profile-bulk-import-jobs"
PROFILE: Template = {"type": "profile", "attributes": {"*": Slot.KNOWN, "properties": Slot.CUSTOM}}
JOB = Ask(
    path=PATH,
    body={"data": {"type": "profile-bulk-import-job"}},
    rows_at="data.attributes.profiles.data",
    row=PROFILE,
)

POLL_S = 5.0
MOST_FAILED = 2000
"""Failures of a job that are read, a hundred a page."""

_WORKING = frozenset({"queued", "processing"})
_POSITION = re.compile(r"/data/attributes/profiles/data/([0-9]{1,5})(?:/.*)?")
_REASON = Reason(code="attributes.code", message="attributes.detail", field="attributes.source.pointer")
_SENT = "attributes.original_payload"


@dataclass(slots=True)
class Imports:
    """Import jobs of one connection. A request has at most `most_bytes`."""

    caller: Caller
    jobs: LongJobs
    most_bytes: int

    async def outcomes(self, frame: Frame, rows: Mapping[int, Rendered], until: float) -> Mapping[int, RowOutcome]:
        """The outcome of each row, once the job is done.

        :raises Unfinished: it is not done by then; the same batch may be written again, and no second job is made.
        :raises BatchRefused: the job is refused, or does not say what became of each row.
        :raises InDoubt: nobody can say.
        """
        fit = {at: row for at, row in rows.items() if _size(frame, row) <= PROFILE_SIZE.size_bytes}
        refuse_twins([_folded(row) for row in fit.values()])
        try:
            failed = await self._failed(frame, fit, until) if fit else {}
        except (BatchRefused, InDoubt):
            self.jobs.forget(frame.batch_id)
            raise
        self.jobs.forget(frame.batch_id)
        large = rejected("ROW_TOO_LARGE", f"the destination takes {PROFILE_SIZE.size_bytes} bytes of a profile")
        return {at: failed.get(at, DELIVERED) if at in fit else large for at in rows}

    async def _failed(self, frame: Frame, rows: Mapping[int, Rendered], until: float) -> Mapping[int, RowOutcome]:
        job_id = self.jobs.id_of(frame.batch_id) or await self._submitted(frame, list(rows.values()))
        path = f"{PATH}/{quote(job_id, safe='')}"
        job = await self.jobs.ended(frame.batch_id, lambda: self._completed(path), until)
        names = ("total", "completed", "failed")
        total, done, count = (number_at(job, f"data.attributes.{name}_count") for name in names)
        # Whether those that failed are among the completed ones, Klaviyo does not say.
        is_short = done is not None and count is not None and done + count < len(rows)
        if total != len(rows) or is_short or (count or 0) > MOST_FAILED:
            raise BatchRefused(f"the job counts {total} profiles and {count} failures of {len(rows)} rows")
        if count == 0:
            return {}
        path += "/import-errors?page%5Bsize%5D=100"
        listing = Listing(path=path, each="data", next="links.next", cursor="page[cursor]")
        failed = _named(await entries_of(listing, path, self.caller.ask), frame.key_name, rows)
        if count is not None and count != len(failed):
            raise BatchRefused(f"the job counts {count:g} failures and names {len(failed)}")
        return failed

    async def _submitted(self, frame: Frame, rows: Sequence[Rendered]) -> str:
        body = body_of(JOB, frame, rows)
        if len(body) > self.most_bytes:
            raise BatchRefused(f"the request would be {len(body)} bytes, the destination takes {self.most_bytes}")
        answer = await self.caller.request(Question("POST", PATH, body, batch_id=frame.batch_id))
        job_id = text_at(answer.document, "data.id")
        if not job_id:
            raise InDoubt("the answer to the request for a job names none")
        self.jobs.begin(frame.batch_id, job_id)
        return job_id

    async def _completed(self, path: str) -> object | None:
        """What is said of the job in the end."""
        job = await self.caller.ask(path)
        state = text_at(job, "data.attributes.status")
        if state in _WORKING:
            return None
        if state != "complete":
            raise InDoubt(f"the destination gave the job up: {state or 'it has no state'}")
        return job


def _size(frame: Frame, row: Rendered) -> int:
    return len(dumped(fill(PROFILE, frame, row)))


def _folded(row: Rendered) -> str:
    return as_text(row.key).strip().lower()


def _named(errors: Sequence[object], key_name: str, rows: Mapping[int, Rendered]) -> Mapping[int, RowOutcome]:
    """The rows that the errors of a job speak of.

    :raises BatchRefused: one speaks of no row that was sent.
    """
    places, in_order = {_folded(row): at for at, row in rows.items()}, list(rows)
    failed: dict[int, RowOutcome] = {}
    for error in errors:
        key = text_at(error, f"{_SENT}.{key_name}") or text_at(error, f"{_SENT}.attributes.{key_name}")
        at = places.get(key.strip().lower()) if key else None
        position = _POSITION.fullmatch(text_at(error, "attributes.source.pointer"))
        if at is None and position is not None and int(position[1]) < len(in_order):
            at = in_order[int(position[1])]
        if at is None:
            raise BatchRefused("an error of the job names no row that was sent")
        failed.setdefault(at, _REASON.outcome(error))
    return failed
