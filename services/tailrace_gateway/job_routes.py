"""The operations of the jobs API."""

from tailrace.store.tokens import Role
from tailrace_gateway import jobs_api
from tailrace_gateway.calls import Route
from tailrace_gateway.job_views import Job, JobResults, Jobs
from tailrace_gateway.jobs_api import JobsQuery, StartJob

_JOBS = "/api/v1/jobs"
_JOB = f"{_JOBS}/{{job_id}}"
_PLAIN = ("",)

JOBS = (
    Route(
        "POST",
        "/api/v1/connections/{connection_id}/sync",
        Role.EDITOR,
        jobs_api.start_job,
        "Start a job",
        operation_id="startJob",
        answer=Job,
        body=StartJob,
        status=202,
        prefixes=_PLAIN,
        is_body_optional=True,
        errors=(409,),
    ),
    Route(
        "GET",
        _JOBS,
        Role.VIEWER,
        jobs_api.list_jobs,
        "List jobs",
        operation_id="listJobs",
        answer=Jobs,
        query=JobsQuery,
        prefixes=_PLAIN,
    ),
    Route(
        "GET",
        _JOB,
        Role.VIEWER,
        jobs_api.get_job,
        "Get a job",
        operation_id="getJob",
        answer=Job,
        prefixes=_PLAIN,
    ),
    Route(
        "GET",
        f"{_JOB}/results",
        Role.VIEWER,
        jobs_api.get_results,
        "Get the results of a job",
        operation_id="getJobResults",
        answer=JobResults,
        prefixes=_PLAIN,
        errors=(409,),
    ),
    Route(
        "POST",
        f"{_JOB}/cancel",
        Role.EDITOR,
        jobs_api.cancel_job,
        "Ask a job to end",
        operation_id="cancelJob",
        answer=Job,
        prefixes=_PLAIN,
        is_body_optional=True,
    ),
)
