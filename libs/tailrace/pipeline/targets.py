"""What a sync asks of its destination: an object, an operation, the fields."""

from tailrace.connector_kit.destination import Target
from tailrace.core.rows import Operation
from tailrace.core.syncs import SyncDefinition
from tailrace.pipeline.modes import operation_on_rows


def rows_target(definition: SyncDefinition) -> Target:
    """Where the rows of the query go."""
    return Target(
        object_name=definition.object_name,
        operation=operation_on_rows(definition.sync_mode),
        key_fields=tuple(mapping.destination for mapping in definition.key_mappings),
        fields=tuple(mapping.destination for mapping in definition.field_mappings),
    )


def deletes_target(definition: SyncDefinition) -> Target:
    """Where rows that left the query are deleted; only their keys are known."""
    key_fields = tuple(mapping.destination for mapping in definition.key_mappings)
    return Target(definition.object_name, Operation.DELETE, key_fields, key_fields)
