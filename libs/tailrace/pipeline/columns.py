"""The columns that a sync maps: they have to be the same all through a run, however often its query is read anew."""

from hashlib import blake2b

from tailrace.connector_kit.warehouse import Warehouse
from tailrace.core.errors import SourceInvalid
from tailrace.core.rows import Column
from tailrace.core.syncs import SyncDefinition
from tailrace.mapping.checks import columns_read

SCHEMA_CHANGED = "SCHEMA_CHANGED"

_DIGEST_BYTES = 8


class PinnedColumns:
    """What the columns were when the run first read; `digest` stands for it in checkpoints, None before that."""

    def __init__(self, digest: str | None = None) -> None:
        self.digest = digest

    async def of(self, warehouse: Warehouse, definition: SyncDefinition) -> list[Column]:
        """The columns of the query now.

        :raises SourceInvalid: `SCHEMA_CHANGED` where those that are mapped are not what they were; and as `columns`.
        """
        try:
            columns = await warehouse.columns(definition.source_query)
        except SourceInvalid as error:
            if self.digest is None:
                raise
            raise _changed(error.message) from error
        kinds = {column.name: column.kind for column in columns}
        mapped = sorted(columns_read(definition))
        digest = _digest("\n".join(f"{name!r} {kinds.get(name)}" for name in mapped))
        if self.digest not in {None, digest}:
            raise _changed(f"the columns {', '.join(mapped)} are not all there with the types that they had")
        self.digest = digest
        return list(columns)


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=_DIGEST_BYTES).hexdigest()


def _changed(what: str) -> SourceInvalid:
    return SourceInvalid(
        f"the source changed while the run was under way ({what}): look at the mappings and start the sync again",
        code=SCHEMA_CHANGED,
    )
