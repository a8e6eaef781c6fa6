"""Logs on stderr, a line an event: JSON for machines or coloured text for people, secrets masked in both.

The standard library's loggers come out the same way, so that one machine can read drivers' warnings too.
"""

import logging
import re
import sys
from collections.abc import Mapping

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from tailrace.observe.fields import TRACE_ID
from tailrace.observe.seldom import Seldom
from tailrace.observe.tracing import current_traceparent

MASK = "***"

_SECRET_KEY = re.compile(
    r"passw(or)?d|passphrase|secret|token|authorization|cookie|credential|api_?key|private_?key|dsn|database_url|pepper",
    re.IGNORECASE,
)
_USER_INFO = re.compile(r"(?<=://)[^/\s@]+@")
_API_TOKEN = re.compile(r"\btrc_\w{12,}")
# PostgreSQL quotes row values behind these words.
_ROW_VALUES = re.compile(r"^(DETAIL|CONTEXT|WHERE):.*$", re.MULTILINE)
_NOISY = {"aiokafka": logging.WARNING, "asyncio": logging.WARNING, "aiohttp.access": logging.WARNING}

_AIOKAFKA_EVERY_S = 30.0


def configure_logs(*, level: str, form: str, bound: Mapping[str, str]) -> None:
    """Set up structlog and the standard library's logging for this process; `bound` goes into every line."""
    least = logging.getLevelNamesMapping()[level.upper()]
    common = _processors(bound)
    structlog.configure(
        processors=[*common, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=common,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                mask_secrets,
                *_renderer(form),
            ],
        )
    )
    # It tells twenty times a second that a broker is down, and it alone tells why.
    handler.addFilter(Seldom("aiokafka", every_s=_AIOKAFKA_EVERY_S))
    logging.basicConfig(handlers=[handler], level=least, force=True)
    logging.captureWarnings(capture=True)
    for name, quiet in _NOISY.items():
        logging.getLogger(name).setLevel(max(quiet, least))


def mask_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Hide values under secret names at any depth, and in texts what `masked_text` hides."""
    return {key: _masked(key, value) for key, value in event.items()}


def masked_text(text: str) -> str:
    """The text without credentials of addresses, API tokens and the row values that PostgreSQL quotes."""
    return _ROW_VALUES.sub(MASK, _API_TOKEN.sub(MASK, _USER_INFO.sub(MASK + "@", text)))


def _masked(key: object, value: object) -> object:
    if isinstance(key, str) and _SECRET_KEY.search(key) and value is not None:
        return MASK
    match value:
        case str():
            return masked_text(value)
        case Mapping():
            return {inner: _masked(inner, held) for inner, held in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_masked(None, held) for held in value]
        case bool() | int() | float() | None:
            return value
        case _:
            return masked_text(str(value))


def _processors(bound: Mapping[str, str]) -> list[Processor]:
    def bind(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {**bound, **event}

    return [
        structlog.contextvars.merge_contextvars,
        bind,
        _trace,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]


def _trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    traceparent = current_traceparent()
    return {TRACE_ID: traceparent.split("-")[1], **event} if traceparent else event


def _renderer(form: str) -> list[Processor]:
    if form == "console":
        plain = structlog.dev.plain_traceback
        return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    return [structlog.processors.JSONRenderer(serializer=_json)]


def _json(event: EventDict, **_options: object) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
