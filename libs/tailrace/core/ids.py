"""Identifiers: typed, opaque to users, ordered by the time they were made."""

import os
import time
from typing import NewType

WorkspaceId = NewType("WorkspaceId", str)
TokenId = NewType("TokenId", str)
ConnectionId = NewType("ConnectionId", str)
ModelId = NewType("ModelId", str)
SyncId = NewType("SyncId", str)
RunId = NewType("RunId", str)
PreviewId = NewType("PreviewId", str)
DeadLetterId = NewType("DeadLetterId", str)

_BASE32 = "0123456789abcdefghijklmnopqrstuv"
_DIGIT_OF_BYTE = _BASE32.encode() * (256 // len(_BASE32))
_MOMENT_DIGITS = 10
_RANDOM_DIGITS = 16


def new_workspace_id() -> WorkspaceId:
    """A fresh workspace id."""
    return WorkspaceId("ws_" + _time_ordered())


def new_connection_id() -> ConnectionId:
    """A fresh id of a source or a destination."""
    return ConnectionId("conn_" + _time_ordered())


def new_model_id() -> ModelId:
    """A fresh model id; the same string is the source id of the RudderStack contract."""
    return ModelId("retl_source_" + _time_ordered())


def new_preview_id() -> PreviewId:
    """A fresh preview id."""
    return PreviewId("retl_preview_" + _time_ordered())


def new_sync_id() -> SyncId:
    """A fresh sync id; the same string is the connection id of the RudderStack contract."""
    return SyncId("retl_sync_" + _time_ordered())


def new_run_id() -> RunId:
    """A fresh run id; the same string is the sync id of the RudderStack contract."""
    return RunId("retl_run_" + _time_ordered())


def new_dead_letter_ids(count: int) -> list[DeadLetterId]:
    """So many fresh ids of dead letters, in their order."""
    moment, drawn = _moment(), _random_digits(count)
    return sorted(
        [
            DeadLetterId(f"retl_dlq_{moment}{drawn[at : at + _RANDOM_DIGITS]}")
            for at in range(0, len(drawn), _RANDOM_DIGITS)
        ]
    )


def _time_ordered() -> str:
    """48 bits of Unix milliseconds and 80 random bits, so that text order is time order."""
    return _moment() + _random_digits(1)


def _moment() -> str:
    milliseconds = time.time_ns() // 1_000_000
    return "".join([_BASE32[milliseconds >> shift & 31] for shift in range(5 * (_MOMENT_DIGITS - 1), -1, -5)])


def _random_digits(ids: int) -> str:
    return os.urandom(_RANDOM_DIGITS * ids).translate(_DIGIT_OF_BYTE).decode()
