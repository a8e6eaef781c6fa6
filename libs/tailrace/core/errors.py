"""What can go wrong with a call, sorted by what the caller does about it.

    TailraceError
    ├── Invalid                 what was given cannot work: mend it, do not repeat it
    │   ├── SourceInvalid       the query, its columns or the warehouse's rights
    │   ├── DestinationInvalid  the object, the fields or the mode
    │   └── CredentialsRefused  the destination does not let us in
    ├── NotFound                nothing of that id in this workspace
    ├── Conflict                the thing is in a state that forbids it
    │   └── Stale               it has changed since the caller looked
    ├── Unavailable             not now: repeat later
    │   ├── SourceUnavailable
    │   ├── DestinationUnavailable
    │   │   └── Throttled       the destination says when to come back
    │   │       └── Unfinished  it works on this very batch
    │   ├── StoreUnavailable
    │   └── BusUnavailable
    ├── InDoubt                 the destination may or may not have applied the batch
    │   └── AnswerTooLong       it answered, with more than is taken
    ├── BatchRefused            a row of the batch is bad, the destination does not say which
    └── LeaseLost               another executor owns the work: stop, write nothing

A row's failure is no exception: it is a `RowOutcome`. Messages name things and say what to do; they never hold
row values or secrets. `code` is stable and in capitals; it reaches the API, the run and the metrics.
"""


class TailraceError(Exception):
    """Everything that Tailrace raises on purpose."""

    code = "INTERNAL"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.code


class Invalid(TailraceError):
    """What was given cannot work."""

    code = "INVALID"


class SourceInvalid(Invalid):
    """The query, its columns or the warehouse's rights."""

    code = "SOURCE_INVALID"


class DestinationInvalid(Invalid):
    """The destination's object, fields or mode."""

    code = "DESTINATION_INVALID"


class CredentialsRefused(Invalid):
    """The destination or the warehouse refused our credentials."""

    code = "CREDENTIALS_REFUSED"


class NotFound(TailraceError):
    """Nothing of that id in this workspace."""

    code = "NOT_FOUND"


class Conflict(TailraceError):
    """The thing is in a state that forbids what was asked."""

    code = "CONFLICT"

    def __init__(self, message: str, *, code: str | None = None, existing_id: str | None = None) -> None:
        super().__init__(message, code=code)
        self.existing_id = existing_id


class Stale(Conflict):
    """The thing has changed since the caller looked at it."""

    code = "STALE"


class Unavailable(TailraceError):
    """Not now: repeat later."""

    code = "UNAVAILABLE"


class SourceUnavailable(Unavailable):
    """The warehouse does not answer."""

    code = "SOURCE_UNAVAILABLE"


class DestinationUnavailable(Unavailable):
    """The destination does not answer, or answers that it is out of order. Nothing of the batch was applied."""

    code = "DESTINATION_UNAVAILABLE"


class Throttled(DestinationUnavailable):
    """The destination asks us to come back later; `retry_after_s` is None where it does not say when."""

    code = "RATE_LIMIT"

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unfinished(Throttled):
    """The destination has the batch and works on it: the same batch written again tells what became of it."""


class StoreUnavailable(Unavailable):
    """The state store does not answer."""

    code = "STORE_UNAVAILABLE"


class BusUnavailable(Unavailable):
    """The event bus does not answer."""

    code = "BUS_UNAVAILABLE"


class InDoubt(TailraceError):
    """The batch was sent and the answer is lost or unreadable: it may have been applied."""

    code = "IN_DOUBT"


class AnswerTooLong(InDoubt):
    """The answer is longer than what is taken: what only reads can ask for less."""


class BatchRefused(TailraceError):
    """The destination refused the whole batch for a row that it does not name; nothing was applied."""

    code = "DESTINATION_VALIDATION"


class LeaseLost(TailraceError):
    """Another executor owns the work, or may own it by now."""

    code = "LEASE_LOST"
