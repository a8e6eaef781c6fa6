"""Keeps the grants of connections among their sealed secrets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from hmac import compare_digest

import orjson

from tailrace.connector_kit.keeping import Grant, Keeper
from tailrace.core.errors import DestinationInvalid
from tailrace.store.connections import Connections

_PLACE = "/refresh_token"
_GRANT = "/~0grant"  # a place that no settings have


@dataclass(frozen=True, slots=True)
class ConnectionKeeper(Keeper):
    """The keeper of one connection; a row lock of the store keeps others out."""

    connections: Connections
    connection_id: str

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[Grant]:
        async with self.connections.holding_secrets(self.connection_id) as secrets:
            place = next((each for each in secrets if each.endswith(_PLACE)), None)
            if place is None:
                raise DestinationInvalid("the connection has no refresh_token: put one into its settings")
            kept = Grant(**orjson.loads(secrets[_GRANT])) if _GRANT in secrets else Grant("")
            # Where somebody has put in another refresh token, what was kept belongs to the one before.
            is_current = compare_digest(kept.refresh_token.encode(), secrets[place].encode())
            grant = kept if is_current else Grant(secrets[place])
            before = replace(grant)
            yield grant
            if grant != before:
                secrets[place] = grant.refresh_token
                secrets[_GRANT] = orjson.dumps(asdict(grant)).decode()
