"""Parameters of operations, described from paths and from the models of queries."""

import re
from collections.abc import Iterator
from typing import Any

from tailrace_gateway.models import Query

_NAME = re.compile(r"{(\w+)}")
_DESCRIPTIONS = {
    "connection_id": "The id of the source or destination; under retl-connections that of the sync.",
    "sync_id": "The id of the sync.",
    "token_id": "The id of the token: the part of its text behind `trc_`.",
    "run_id": "The id of the run.",
    "source_id": "The id of the source; under retl-connections only those of it.",
    "account_id": "The id of the account, which is that of the source under /api/sources.",
    "preview_id": "The id of the preview.",
    "source_type": "Only queries (`model`), or only tables (`table`).",
    "has_external_id": "Only those that have an external id (`true`), or only those that have none (`false`).",
    "page_size": "How many to show at most.",
    "job_id": "The id of the job, which is that of the run.",
    "destination_id": "The id of the destination.",
    "limit": "How many to show at most.",
    "cursor": "`meta.page.cursor` of the page before; good for a day, and for the same filter only.",
    "per_page": "How many to show at most.",
    "offset": "How many to leave out.",
    "page": "Which page, from 1.",
    "status": "Only those that stand so.",
    "started_after": "Only those started later; a time without a zone is in UTC.",
    "started_before": "Only those started earlier; a time without a zone is in UTC.",
    "since": "Only those seen first at that time or later; without a zone it is in UTC.",
    "enabled": "Only those that run (`true`), or only those that are paused (`false`).",
    "resolved": "`false` for those that need attention, `true` for the others.",
    "connector": "Only those of this connector.",
    "workspace_id": "The id of the caller's workspace.",
    "version": "The number of the version.",
    "against": "The version to compare with; left out, the one before.",
    "key": "The text of the row's key; for a key of several columns a JSON array of their texts.",
    "compare": "Look the row up in the source too, and compare it with what was delivered; needs the role editor.",
    "code": "Only those refused with this code.",
    "search": "Only those whose name or label holds this text, in any case.",
    "object_name": "The object's name.",
}

IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Makes the request safe to repeat: for a day the same key gives the same answer.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,200}$"},
}

IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "description": "The ETag of the state that this replaces: refused with 412 if it has changed. Never required.",
    "schema": {"type": "string"},
}

LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "The id of the last event that was seen: the stream goes on behind it.",
    "schema": {"type": "string"},
}


def path_parameters(path: str) -> Iterator[dict[str, Any]]:
    """The parameters in a path; whatever cannot be an id is the id of nothing."""
    for name in _NAME.findall(path):
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "description": _DESCRIPTIONS[name],
            "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
        }


def query_parameters(model: type[Query]) -> Iterator[dict[str, Any]]:
    """The parameters of a query, by their names in snake_case."""
    schema = model.model_json_schema(by_alias=False)
    for name, described in schema.get("properties", {}).items():
        required = {"required": True} if name in schema.get("required", ()) else {}
        yield {"name": name, "in": "query", **required, "description": _DESCRIPTIONS[name], "schema": _given(described)}


def _given(described: dict[str, Any]) -> dict[str, Any]:
    """The schema of a value that is there: null stands for none in the model alone."""
    choices = [choice for choice in described.get("anyOf", ()) if choice != {"type": "null"}]
    plain = choices[0] if len(choices) == 1 else described
    return {word: said for word, said in plain.items() if word != "title" and (word, said) != ("default", None)}
