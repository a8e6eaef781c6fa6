"""Rows whose keys differ to us and are the same to a destination."""

from collections.abc import Collection

from tailrace.core.errors import BatchRefused


def refuse_twins(keys: Collection[str]) -> None:
    """Return if the keys, as the destination compares them, are all different.

    :raises BatchRefused: two are the same; of a batch of one row they never are.
    """
    if len(set(keys)) < len(keys):
        raise BatchRefused("to the destination, keys of two rows are the same: they are sent apart")
