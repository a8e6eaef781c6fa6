"""Examples of requests and answers of the jobs API, by operation."""

from typing import Any

Json = dict[str, Any]

_RUN = "retl_run_01j9k7p2q3r4s5t6"
_SYNC = "retl_sync_01j9k6m7n8o9p0q1"
_QUEUED: Json = {
    "connection_id": _SYNC,
    "sync_type": "incremental",
    "status": "queued",
    "created_at": "2025-03-27T17:22:00Z",
    "started_at": None,
    "completed_at": None,
    "progress": {"rows_read": 0, "rows_written": 0, "rows_skipped": 0, "rows_failed": 0, "rows_still_failing": 0},
}
_ENDED: Json = _QUEUED | {
    "status": "completed",
    "started_at": "2025-03-27T17:22:01Z",
    "completed_at": "2025-03-27T17:25:44Z",
    "progress": {
        "rows_read": 12840,
        "rows_written": 12795,
        "rows_skipped": 0,
        "rows_failed": 45,
        "rows_still_failing": 0,
    },
}
_CANCELLED: Json = _QUEUED | {
    "status": "cancelled",
    "completed_at": "2025-03-27T17:22:09Z",
    "error": {"code": "CANCELLED", "message": "cancelled by token:airflow"},
}


def _job(members: Json) -> Json:
    return {"job_id": _RUN, **members, "data": {"job": {"id": _RUN, **members}}}


JOBS_ASKED: Json = {
    "startJob": {
        "syncType": "incremental",
        "priority": "normal",
        "metadata": {"dag_id": "crm", "task_id": "sync_accounts", "run_id": "manual__2025-03-27T17:22:00+00:00"},
        "idempotencyKey": "crm_sync_accounts_manual__2025-03-27T17:22:00+00:00",
    },
}
JOBS_TOLD: Json = {
    "startJob": _job(_QUEUED),
    "listJobs": {"jobs": [_job(_ENDED)], "pagination": {"total": 1, "limit": 20, "offset": 0}},
    "getJob": _job(_ENDED),
    "getJobResults": {
        "job_id": _RUN,
        "status": "completed",
        "summary": {
            "total_rows_synced": 12795,
            "rows_read": 12840,
            "rows_skipped": 0,
            "rows_failed": 45,
            "rows_still_failing": 0,
            "duration_seconds": 223.0,
        },
    },
    "cancelJob": _job(_CANCELLED),
}
