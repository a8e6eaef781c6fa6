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
CONNECTOR: Final = "connector"
TOPIC: Final = "topic"
STATUS: Final = "status"
CODE: Final = "code"
ROWS: Final = "rows"
WAIT_S: Final = "wait_s"
TOOK_S: Final = "took_s"
