"""The closed list of metrics. Labels are bounded: states and codes, never ids, keys or names of users."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

REGISTRY = CollectorRegistry()
"""Holds exactly the metrics of this module."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OTHER = "OTHER"
"""The label of what is not among the known values."""

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_RUN_SECONDS = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600)
_ERROR_CODES = frozenset(
    {
        "NULL_KEY", "NULL_CURSOR", "EMPTY_KEY", "DUPLICATE_KEY", "DUPLICATE_MAPPED_KEY", "KEY_TOO_LONG",
        "NUL_IN_KEY", "TYPE_MISMATCH", "NOT_REPRESENTABLE", "ROW_TOO_LARGE", "DESTINATION_VALIDATION", "NOT_FOUND",
        "RATE_LIMIT", "DESTINATION_UNAVAILABLE", "IN_DOUBT",
    }
)  # fmt: skip

RUNS = Counter("tailrace_runs_total", "Runs that ended, by their last status.", ["status"], registry=REGISTRY)
RUNS_ACTIVE = Gauge("tailrace_runs_active", "Runs that this process works on.", registry=REGISTRY)
RUNS_QUEUED = Gauge(
    "tailrace_runs_queued", "Runs, and parts of shared ones, that an executor could take now.", registry=REGISTRY
)
RUNS_QUEUED_AGE = Gauge(
    "tailrace_runs_queued_oldest_seconds",
    "How long the oldest of them has waited for an executor to begin it.",
    registry=REGISTRY,
)
RUN_DURATION = Histogram(
    "tailrace_run_duration_seconds",
    "Of runs that ended, from the first claim.",
    registry=REGISTRY,
    buckets=_RUN_SECONDS,
)
ROWS = Counter("tailrace_rows_total", "Rows that were settled, by what became of them.", ["outcome"], registry=REGISTRY)
LEASES_LOST = Counter("tailrace_leases_lost_total", "Leases that another executor took over.", registry=REGISTRY)
CHECKPOINT_DURATION = Histogram(
    "tailrace_checkpoint_duration_seconds",
    "Time of a checkpoint transaction.",
    registry=REGISTRY,
    buckets=_SECONDS,
)
DESTINATION_REQUESTS = Counter(
    "tailrace_destination_requests_total",
    "Batches sent, by what the destination made of them.",
    ["connector", "code"],
    registry=REGISTRY,
)
DESTINATION_DURATION = Histogram(
    "tailrace_destination_request_duration_seconds",
    "Time of a batch at the destination.",
    ["connector"],
    registry=REGISTRY,
    buckets=_SECONDS,
)
RATE_LIMIT_WAIT = Histogram(
    "tailrace_rate_limit_wait_seconds", "Waits for a rate limit.", registry=REGISTRY, buckets=_SECONDS
)
SPOOL_BYTES = Gauge(
    "tailrace_spool_bytes", "Bytes of local disk that rows take which wait for a destination.", registry=REGISTRY
)
SPOOL_REFUSALS = Counter(
    "tailrace_spool_refusals_total",
    "Runs whose rows could not wait on local disk, so that the warehouse waits: run_full, process_full, disk.",
    ["reason"],
    registry=REGISTRY,
)
DLQ_OPEN = Gauge("tailrace_dlq_open", "Dead letters not resolved.", ["error_code"], registry=REGISTRY)
DLQ_LETTERS = Counter("tailrace_dlq_letters_total", "Rows that became dead letters.", ["error_code"], registry=REGISTRY)
SCHEDULE_LAG = Histogram("tailrace_schedule_lag_seconds", "From due to started.", registry=REGISTRY, buckets=_SECONDS)
SCHEDULE_TICKS = Counter(
    "tailrace_schedule_ticks_total", "Ticks, by what became of them.", ["outcome"], registry=REGISTRY
)
OUTBOX_PENDING = Gauge("tailrace_outbox_pending", "Events that wait to be published.", registry=REGISTRY)
OUTBOX_AGE = Gauge("tailrace_outbox_oldest_seconds", "Age of the oldest of them.", registry=REGISTRY)
EVENTS = Counter(
    "tailrace_events_total",
    "Events, by what became of them: published, handled, repeated, refused, unknown, unreadable, failed.",
    ["type", "outcome"],
    registry=REGISTRY,
)
BUS_LAG = Gauge(
    "tailrace_bus_lag", "Messages of a topic that this member has yet to read.", ["topic"], registry=REGISTRY
)
HTTP_REQUESTS = Counter(
    "tailrace_http_requests_total",
    "Requests answered, by route.",
    ["method", "route", "code"],
    registry=REGISTRY,
)
HTTP_DURATION = Histogram(
    "tailrace_http_request_duration_seconds",
    "Time to answer.",
    ["route"],
    registry=REGISTRY,
    buckets=_SECONDS,
)
LOOP_LAG = Gauge("tailrace_loop_lag_seconds", "How late the event loop was last.", registry=REGISTRY)


def error_code_label(code: str) -> str:
    """A code of ours as it is; a destination's own code as `OTHER`, since nobody bounds their number."""
    return code if code in _ERROR_CODES else OTHER


def exposition() -> bytes:
    """All metrics in the text format that Prometheus reads."""
    return generate_latest(REGISTRY)
