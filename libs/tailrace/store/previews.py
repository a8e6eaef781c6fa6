"""Previews: a few rows of a query, sealed, for as long as it takes to fetch them."""

from dataclasses import dataclass
from typing import Any

import orjson

from tailrace.core.errors import NotFound
from tailrace.core.ids import PreviewId, WorkspaceId, new_preview_id
from tailrace.store.database import Database
from tailrace.store.secrets import SecretBox

_KEPT_MINUTES = 15
_KEEP = "INSERT INTO previews (id, workspace_id, rows, error) VALUES ($1, $2, $3, $4)"
_GET = """
SELECT rows, error FROM previews
WHERE workspace_id = $1 AND id = $2 AND created_at > clock_timestamp() - make_interval(mins => $3)
"""
_PRUNE = "DELETE FROM previews WHERE created_at < clock_timestamp() - make_interval(mins => $1)"


@dataclass(frozen=True, slots=True)
class Preview:
    """What a query gave: rows, or why there are none."""

    rows: list[dict[str, Any]]
    error: str | None = None


class Previews:
    """The previews of all workspaces."""

    def __init__(self, database: Database, box: SecretBox) -> None:
        self._database = database
        self._box = box

    async def keep(self, workspace_id: WorkspaceId, preview: Preview) -> PreviewId:
        """Keep it for a quarter of an hour."""
        preview_id = new_preview_id()
        sealed = self._box.seal(orjson.dumps(preview.rows), bound_to=preview_id)
        await self._database.execute(_KEEP, preview_id, workspace_id, sealed, preview.error)
        return preview_id

    async def prune(self) -> int:
        """Forget those whose time is over; gives how many."""
        return await self._database.execute(_PRUNE, _KEPT_MINUTES)

    async def get(self, workspace_id: WorkspaceId, preview_id: str) -> Preview:
        """The preview of that id.

        :raises NotFound: the workspace has none, or no longer.
        """
        row = await self._database.fetchrow(_GET, workspace_id, preview_id, _KEPT_MINUTES)
        if row is None:
            raise NotFound(
                "no such preview, or it is older than 15 minutes: ask for a new one", code="PREVIEW_NOT_FOUND"
            )
        return Preview(orjson.loads(self._box.open(row["rows"], bound_to=preview_id)), row["error"])
