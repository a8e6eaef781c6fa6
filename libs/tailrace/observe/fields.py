"""Names of log fields: one word for a thing in every service."""

from typing import Final

SERVICE: Final = "service"
POD: Final = "pod"
WORKSPACE_ID: Final = "workspace_id"
SYNC_ID: Final = "sync_id"
TRACE_ID: Final = "trace_id"
RUN_ID: Final = "run_id"
EVENT_ID: Final = "event_id"
CONNECTION_ID: Final = "connection_id"
TOPIC: Final = "topic"
CODE: Final = "code"
WAIT_S: Final = "wait_s"
